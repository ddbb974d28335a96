package members

import (
	"net"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// The gossip library writes a line for each datagram that it cannot read,
// which anybody can send: of each level so many are written out in a
// period. All are counted.
const (
	logLines  = 20
	logPeriod = 10 * time.Second
)

// libraryLog takes the lines of the gossip library. Some are the only word
// it has for a fault that has a name here.
type libraryLog struct {
	// Static after newLibraryLog.
	log     *zap.Logger
	metrics *metrics
	refused func(why reason, from string)

	// Guarded by mu.
	mu    sync.Mutex
	ended bool
}

func newLibraryLog(to *zap.Logger, m *metrics, refused func(why reason, from string)) *libraryLog {
	sampled := to.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, logPeriod, logLines, 0)
	}))
	return &libraryLog{log: sampled, metrics: m, refused: refused}
}

// Write takes one line.
func (l *libraryLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return len(line), nil
	}
	level, text := parseLine(string(line))
	l.metrics.lines[level].Inc()
	if why, from, ok := faultOf(text); ok {
		l.refused(why, from)
		level = zapcore.DebugLevel
	}
	// One message for all lines: the sampler counts by message.
	l.log.Log(level, "gossip", zap.String("line", text))
	return len(line), nil
}

// end has later lines go nowhere. The library does not wait for its
// goroutines: probes and connections in progress end by their time limits.
func (l *libraryLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// parseLine splits "[WARN] memberlist: text". What the library calls an
// error is a peer that does not answer, or a datagram that is none.
func parseLine(line string) (zapcore.Level, string) {
	text := strings.TrimSpace(line)
	level := zapcore.WarnLevel
	if word, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(word, "[") {
		text = rest
		switch word {
		case "[DEBUG":
			level = zapcore.DebugLevel
		case "[INFO":
			level = zapcore.InfoLevel
		}
	}
	return level, strings.TrimPrefix(text, "memberlist: ")
}

// faultOf recognises lines about who talks with another secret or of another
// PoP, and from which address.
func faultOf(text string) (why reason, from string, ok bool) {
	switch {
	case strings.Contains(text, `discarding stream with unacceptable label ""`):
		// Also a connection that was given up before a byte came, as a probe is
		// that takes too long. A node of another PoP has a label.
		return "", "", false
	case strings.Contains(text, "with unacceptable label"):
		why = otherPop
	case undecipherable(text):
		why = otherSecret
	default:
		return "", "", false
	}
	_, from, _ = strings.Cut(text, "from=")
	if host, _, err := net.SplitHostPort(from); err == nil {
		from = host // ports of clients are new each time
	}
	return why, from, true
}

// undecipherable recognises what the library says of data that was
// encrypted with another key, or not at all.
func undecipherable(text string) bool {
	return strings.Contains(text, "Decrypt packet failed") ||
		strings.Contains(text, "could decrypt") ||
		strings.Contains(text, "remote state is not encrypted")
}
