// Package obs makes the loggers of a process and owns the files behind
// them. It is started first and stopped last: it reports the others.
package obs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/landfall-cdn/landfall/internal/must"
)

// NewLogger returns the log of a process: one JSON object a line.
func NewLogger(out zapcore.WriteSyncer, level zapcore.Level) *zap.Logger {
	conf := zap.NewProductionEncoderConfig()
	conf.TimeKey, conf.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	conf.EncodeDuration = zapcore.StringDurationEncoder
	// Repeated warnings are sampled: a flood of them says nothing more.
	core := zapcore.NewSamplerWithOptions(
		zapcore.NewCore(zapcore.NewJSONEncoder(conf), zapcore.Lock(out), level), time.Second, 100, 1000)
	return zap.New(core)
}

// Redirect sends what libraries write with the standard log package to
// log, until the function that it returns is called.
func Redirect(log *zap.Logger) (restore func()) {
	restore, err := zap.RedirectStdLogAt(log.Named("library"), zapcore.WarnLevel)
	must.True(err == nil, "redirect the standard log: %v", err)
	return restore
}

// AccessLog is the file of access records. Records are gathered and
// written at least once a second.
type AccessLog struct {
	// Static after OpenAccess.
	file   *file
	buffer *zapcore.BufferedWriteSyncer
}

const (
	accessBuffer = 256 << 10
	accessFlush  = time.Second
)

// OpenAccess opens the access log at path, "-" meaning standard output and
// "" meaning none.
func OpenAccess(path string) (*AccessLog, error) {
	a := &AccessLog{}
	if path == "" {
		return a, nil
	}
	a.file = &file{path: path}
	if err := a.file.Reopen(); err != nil {
		return nil, err
	}
	a.buffer = &zapcore.BufferedWriteSyncer{WS: a.file, Size: accessBuffer, FlushInterval: accessFlush}
	return a, nil
}

// Lost returns how many records could not be written, and the error of the
// newest write, nil when it went well.
func (a *AccessLog) Lost() (records uint64, now error) {
	if a.file == nil {
		return 0, nil
	}
	if err := a.file.failing.Load(); err != nil {
		now = *err
	}
	return a.file.lost.Load(), now
}

// Writer returns where access records are written, each with one call and
// ended by a line feed; nil when there is no log.
func (a *AccessLog) Writer() io.Writer {
	if a.file == nil {
		return nil
	}
	return a.buffer
}

// Reopen opens the file anew under its name, after it was rotated away.
func (a *AccessLog) Reopen() error {
	if a.file == nil {
		return nil
	}
	return errors.Join(a.buffer.Sync(), a.file.Reopen())
}

// Run waits until ctx is done, then writes what is gathered.
func (a *AccessLog) Run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	if a.file == nil {
		return nil
	}
	return errors.Join(a.buffer.Stop(), a.file.Close())
}

// file is a log file that can be opened again.
type file struct {
	path string

	lost    atomic.Uint64         // records
	failing atomic.Pointer[error] // of the newest write

	// Guarded by mu.
	mu   sync.Mutex
	f    *os.File
	torn bool // the file ends within a record
}

// Reopen opens the file under its name; on failure the old one stays.
func (l *file) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path == "-" {
		l.f = os.Stdout
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("open the access log: %w", err)
	}
	old := l.f
	l.f, l.torn = f, false
	if old == nil {
		return nil
	}
	return old.Close()
}

// Write implements zapcore.WriteSyncer. It never fails: the buffer above
// it would keep the first error for ever, and a disk that is full now may
// have room again.
func (l *file) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.torn {
		if _, err := l.f.WriteString("\n"); err == nil {
			l.torn = false
		}
	}
	n, err := l.f.Write(p)
	if n > 0 {
		l.torn = p[n-1] != '\n'
	}
	if err != nil {
		l.lost.Add(uint64(bytes.Count(p[n:], []byte{'\n'})))
		l.failing.Store(&err)
	} else if l.failing.Load() != nil {
		l.failing.Store(nil)
	}
	return len(p), nil
}

// Sync implements zapcore.WriteSyncer. Records are not worth an fsync.
func (l *file) Sync() error { return nil }

// Close closes the file, but never standard output.
func (l *file) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path == "-" {
		return nil
	}
	return l.f.Close()
}
