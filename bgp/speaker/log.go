package speaker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxLine bounds a line of a speaker's log, in bytes; a longer one is
// cut in pieces.
const maxLine = 4 << 10

// forwardLog passes the child's log on, line by line, so that the child
// never waits for a full pipe.
func (ch *child) forwardLog() {
	log := ch.client.cfg.Log.Named("speaker")
	lines := bufio.NewReaderSize(ch.process.Stderr, maxLine)
	for {
		line, _, err := lines.ReadLine()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				log.Debug("log ended", zap.Error(err))
			}
			return
		}
		forwardLine(log, bytes.Clone(line))
	}
}

// forwardLine keeps the level, message and fields of a line that zap
// wrote. Any other line is the runtime's, which has no good news.
func forwardLine(log *zap.Logger, line []byte) {
	var fields map[string]any
	var level zapcore.Level
	err := json.Unmarshal(line, &fields)
	msg, isMsg := fields["msg"].(string)
	name, isLevel := fields["level"].(string)
	if err != nil || !isMsg || !isLevel || level.Set(name) != nil {
		log.Warn("unexpected output", zap.ByteString("line", line))
		return
	}
	for _, known := range []string{"msg", "level", "ts", "logger", "caller", "stacktrace"} {
		delete(fields, known)
	}
	// A panic over there is an error here.
	log.Log(min(level, zapcore.ErrorLevel), msg, zap.Any("fields", fields))
}
