package edge

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strconv"
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
	from      *answered     // the other node that answered; nil when none did
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
	if r.Relayed() {
		s.met.answered[a.outcome].Inc() // the client's node counts and records it
		return
	}
	s.count(r, met, a, took)
	if s.conf.Access == nil || a.status == http.StatusMisdirectedRequest && s.conf.Self != nil && s.conf.Self(r.Client.Addr()) {
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
// lists the fields; names and meanings are stable. What our own code made
// needs no escaping.
func appendRecord(b []byte, r *exchange.Request, site string, a *account, now time.Time) []byte {
	b = jsonline.Time(append(b, `{"time":"`...), now)
	b = append(append(b, `","id":"`...), r.ID...)
	b = r.Client.Addr().AppendTo(append(b, `","client":"`...))
	b = jsonline.Text(append(b, `","site":"`...), site)
	b = jsonline.Text(append(b, `","method":"`...), r.Method)
	b = append(append(b, `","scheme":"`...), r.Scheme...)
	b = jsonline.Text(append(b, `","host":"`...), r.Host)
	b = jsonline.Text(append(b, `","path":"`...), r.Path)
	b = jsonline.Text(append(b, `","query":"`...), r.Query)
	b = append(append(b, `","proto":"`...), r.Proto.String()...)
	b = strconv.AppendInt(append(b, `","status":`...), int64(a.status), 10)
	b = append(append(b, `,"outcome":"`...), a.outcome.String()...)
	b = strconv.AppendInt(append(b, `","bytes_in":`...), a.received, 10)
	b = strconv.AppendInt(append(b, `,"bytes_out":`...), a.sent, 10)
	b = jsonline.Millis(append(b, `,"first_byte_ms":`...), a.firstByte)
	b = jsonline.Millis(append(b, `,"total_ms":`...), now.Sub(r.Arrived))
	b = jsonline.Text(append(b, `,"user_agent":"`...), r.Header.Get("user-agent"))
	b = jsonline.Text(append(b, `","referer":"`...), r.Header.Get("referer"))
	b = append(b, '"')
	if r.TLS != nil {
		b = append(append(b, `,"tls":"`...), tls.VersionName(r.TLS.Version)...)
		b = append(append(b, `","alpn":"`...), r.TLS.ALPN...)
		b = strconv.AppendBool(append(b, `","resumed":`...), r.TLS.Resumed)
	}
	if r.Early {
		b = append(b, `,"early":true`...)
	}
	if a.hasTTL {
		b = strconv.AppendInt(append(b, `,"ttl":`...), a.ttl, 10)
	}
	if a.from != nil {
		b = strconv.AppendUint(append(b, `,"peer":`...), uint64(a.from.node), 10)
		b = append(append(append(b, `,"asked":"`...), a.from.asked.String()...), '"')
	}
	return append(appendFailure(b, a), "}\n"...)
}

// appendFailure appends why there was no response, or not all of it.
func appendFailure(b []byte, a *account) []byte {
	if a.refused != exchange.Admitted {
		b = append(append(append(b, `,"reason":"`...), a.refused.String()...), '"')
	}
	if a.cause != exchange.NoCause {
		b = append(append(b, `,"cause":"`...), a.cause.String()...)
		b = jsonline.Text(append(b, `","endpoint":"`...), a.endpoint)
		b = jsonline.Text(append(b, `","detail":"`...), a.detail)
		b = append(b, '"')
	}
	return b
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
