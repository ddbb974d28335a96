package speaker

import (
	"fmt"
	"sync/atomic"
	"time"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A router can make GoBGP write a line with each message it sends. Of
// those that say the same within a second some are enough.
const (
	logFirst      = 20   // of a message in a second
	logThereafter = 1000 // one of so many after these
)

func newGoBGPLogger(log *zap.Logger) *gobgpLogger {
	return &gobgpLogger{log: log.Named("gobgp").WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, logFirst, logThereafter)
	}))}
}

// gobgpLogger passes GoBGP's log on. GoBGP says with a warning only that
// it listens without the MD5 key it was given; that is remembered.
type gobgpLogger struct {
	log       *zap.Logger
	md5Failed atomic.Bool
}

var _ gobgplog.Logger = (*gobgpLogger)(nil)

// Panic implements log.Logger. GoBGP calls it where it cannot go on, so
// it ends the process; the supervisor starts another.
func (l *gobgpLogger) Panic(msg string, f gobgplog.Fields) { l.log.Panic(msg, zapFields(f)...) }

// Fatal implements log.Logger. GoBGP goes on well enough after most of
// its fatal messages, and the process is not its to end.
func (l *gobgpLogger) Fatal(msg string, f gobgplog.Fields) { l.log.Error(msg, zapFields(f)...) }

// Error implements log.Logger.
func (l *gobgpLogger) Error(msg string, f gobgplog.Fields) { l.log.Error(msg, zapFields(f)...) }

// Warn implements log.Logger.
func (l *gobgpLogger) Warn(msg string, f gobgplog.Fields) {
	if msg == "failed to set md5" {
		l.md5Failed.Store(true)
	}
	l.log.Warn(msg, zapFields(f)...)
}

// Info implements log.Logger.
func (l *gobgpLogger) Info(msg string, f gobgplog.Fields) { l.log.Info(msg, zapFields(f)...) }

// Debug implements log.Logger.
func (l *gobgpLogger) Debug(msg string, f gobgplog.Fields) {
	if l.log.Core().Enabled(zap.DebugLevel) {
		l.log.Debug(msg, zapFields(f)...)
	}
}

// SetLevel implements log.Logger; the level is the zap logger's.
func (l *gobgpLogger) SetLevel(gobgplog.LogLevel) {}

// GetLevel implements log.Logger.
func (l *gobgpLogger) GetLevel() gobgplog.LogLevel {
	if l.log.Core().Enabled(zap.DebugLevel) {
		return gobgplog.DebugLevel
	}
	return gobgplog.InfoLevel
}

func zapFields(f gobgplog.Fields) []zap.Field {
	out := make([]zap.Field, 0, len(f))
	for k, v := range f {
		out = append(out, zap.String(k, fmt.Sprint(v)))
	}
	return out
}
