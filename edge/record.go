package edge

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/jsonline"
)

// account is what the access record and the counters say of a request
// beside what it asked for.
type account struct {
	outcome   exchange.Outcome
	refused   exchange.Refusal
	cause     exchange.Cause
	endpoint  string // the origin address that failed
	detail    string // what lies behind the cause
	status    int    // of the final response; 0 while no head was sent
	ttl       int64  // seconds left, when hasTTL
	hasTTL    bool
	sent      int64         // bytes of the response's content
	received  int64         // bytes of the request's content
	firstByte time.Duration // 0 while no head was sent; atOnce
}

// atOnce is the time to the first byte of a response that was ready when the
// request was read: that to the last.
const atOnce = -1

// settle counts a finished request and writes its access record. met is
// that of its site.
func (s *Server) settle(r *exchange.Request, met *siteMetrics, a *account) {
	now := time.Now()
	took := now.Sub(r.Arrived)
	if a.firstByte == atOnce {
		a.firstByte = took
	}
	s.count(r, met, a, took)
	if s.conf.Access == nil {
		return
	}
	lent := lines.Get().(*[]byte)
	*lent = appendRecord((*lent)[:0], r, met.name, a, now)
	_, _ = s.conf.Access.Write(*lent) // what is lost is counted there
	lines.Put(lent)
}

// lines lends the line of one record.
var lines = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

// appendRecord appends the access record. docs/reference/access-log.md
// lists the fields; names and meanings are stable.
func appendRecord(b []byte, r *exchange.Request, site string, a *account, now time.Time) []byte {
	b = jsonline.Time(jsonline.Begin(b), "time", now)
	b = jsonline.String(b, "id", r.ID)
	b = jsonline.Addr(b, "client", r.Client.Addr())
	b = jsonline.String(b, "site", site)
	b = jsonline.String(b, "method", r.Method)
	b = jsonline.String(b, "scheme", r.Scheme)
	b = jsonline.String(b, "host", r.Host)
	b = jsonline.String(b, "path", r.Path)
	b = jsonline.String(b, "query", r.Query)
	b = jsonline.String(b, "proto", r.Proto.String())
	b = jsonline.Int(b, "status", int64(a.status))
	b = jsonline.String(b, "outcome", a.outcome.String())
	b = jsonline.Int(b, "bytes_in", a.received)
	b = jsonline.Int(b, "bytes_out", a.sent)
	b = jsonline.Millis(b, "first_byte_ms", a.firstByte)
	b = jsonline.Millis(b, "total_ms", now.Sub(r.Arrived))
	b = jsonline.String(b, "user_agent", r.Header.Get("user-agent"))
	b = jsonline.String(b, "referer", r.Header.Get("referer"))
	if r.TLS != nil {
		b = jsonline.String(b, "tls", tls.VersionName(r.TLS.Version))
		b = jsonline.String(b, "alpn", r.TLS.ALPN)
		b = jsonline.Bool(b, "resumed", r.TLS.Resumed)
	}
	if r.Early {
		b = jsonline.Bool(b, "early", true)
	}
	if a.hasTTL {
		b = jsonline.Int(b, "ttl", a.ttl)
	}
	if a.refused != exchange.Admitted {
		b = jsonline.String(b, "reason", a.refused.String())
	}
	if a.cause != exchange.NoCause {
		b = jsonline.String(b, "cause", a.cause.String())
		b = jsonline.String(b, "endpoint", a.endpoint)
		b = jsonline.String(b, "detail", a.detail)
	}
	return jsonline.End(b)
}

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

// append appends the next id.
func (s idSource) append(dst []byte) []byte {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], s.n.Add(1))
	return hex.AppendEncode(append(dst, s.prefix...), n[2:])
}

func (s idSource) next() string { return string(s.append(make([]byte, 0, 24))) }
