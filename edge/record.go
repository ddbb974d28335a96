package edge

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// record writes the access record. docs/reference/access-log.md lists the
// fields; names and meanings are stable.
func (x *passage) record(log *zap.Logger) {
	r := x.r
	lent := recordFields.Get().(*[]zap.Field)
	f := append((*lent)[:0],
		zap.String("id", r.ID),
		zap.String("client", r.Client.Addr().String()),
		zap.String("site", x.siteName()),
		zap.String("method", r.Method),
		zap.String("scheme", r.Scheme),
		zap.String("host", r.Host),
		zap.String("path", r.Path),
		zap.String("query", r.Query),
		zap.Stringer("proto", r.Proto),
		zap.Int("status", x.status),
		zap.Stringer("outcome", x.outcome),
		zap.Int64("bytes_in", x.received.Load()),
		zap.Int64("bytes_out", x.sent),
		zap.Float64("first_byte_ms", ms(x.firstByte)),
		zap.Float64("total_ms", ms(time.Since(r.Arrived))),
		zap.String("user_agent", r.Header.Get("user-agent")),
		zap.String("referer", r.Header.Get("referer")),
	)
	if r.TLS != nil {
		f = append(f, zap.String("tls", tls.VersionName(r.TLS.Version)), zap.String("alpn", r.TLS.ALPN), zap.Bool("resumed", r.TLS.Resumed))
	}
	if x.hasTTL {
		f = append(f, zap.Int64("ttl", x.ttl))
	}
	if x.reason != admitted {
		f = append(f, zap.Stringer("reason", x.reason))
	}
	if x.cause != exchange.NoCause {
		f = append(f, zap.Stringer("cause", x.cause), zap.String("endpoint", x.endpoint), zap.String("detail", x.detail))
	}
	log.Info("request", f...)
	clear(f) // the strings of a request must not outlive it
	*lent = f
	recordFields.Put(lent)
}

// recordFields lends the fields of one record.
var recordFields = sync.Pool{New: func() any { f := make([]zap.Field, 0, 32); return &f }}

func (x *passage) siteName() string {
	if x.site == nil {
		return ""
	}
	return x.site.Name
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// idSource makes request ids: unique in this process by a counter, and
// among processes by a random start.
type idSource struct {
	prefix string
	n      *atomic.Uint64
}

func newIDSource() idSource {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	s := idSource{prefix: hex.EncodeToString(b[:5]), n: new(atomic.Uint64)}
	s.n.Store(uint64(binary.BigEndian.Uint16(b[6:])))
	return s
}

func (s idSource) next() string {
	var b [16]byte
	hex.Encode(b[:], binary.BigEndian.AppendUint64(nil, s.n.Add(1)))
	return s.prefix + string(b[4:])
}
