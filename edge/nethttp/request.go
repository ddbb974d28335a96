package nethttp

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// request turns what net/http or http3 parsed into an exchange.Request.
// It judges nothing: admission does.
func (f *Front) request(w *writer, hr *http.Request, info *connInfo) *exchange.Request {
	r := &exchange.Request{
		Proto:   proto(hr),
		Method:  hr.Method,
		Scheme:  "http",
		Header:  header(hr.Header),
		Length:  hr.ContentLength,
		Client:  info.client,
		Local:   info.local,
		Conn:    &info.shared,
		Arrived: time.Now(),
		Interim: func(status int, h exchange.Header) { _ = w.Interim(status, h) },
	}
	if hr.TLS != nil {
		r.Scheme = "https"
		info.once.Do(func() {
			info.tls = &exchange.TLS{
				Version:    hr.TLS.Version,
				ServerName: strings.ToLower(strings.TrimSuffix(hr.TLS.ServerName, ".")),
				ALPN:       hr.TLS.NegotiatedProtocol,
				Resumed:    hr.TLS.DidResume,
			}
		})
		r.TLS = info.tls
	}
	r.Host, r.Port = splitHost(hr.Host)
	r.Path, r.Query = splitTarget(hr.RequestURI, hr.ProtoMajor == 1)
	r.Upgrade = upgrade(hr)
	if r.Upgrade != "" {
		r.Method = http.MethodGet
	}
	f.content(r, w, hr, info)
	return r
}

// content gives the request its body, if it has one.
func (f *Front) content(r *exchange.Request, w *writer, hr *http.Request, info *connInfo) {
	if hr.Body == nil || hr.Body == http.NoBody || hr.ContentLength == 0 || r.Upgrade != "" {
		r.Length = 0
		return
	}
	b := newBody(w, hr.Body, info.tcp)
	if r.Proto == exchange.HTTP3 && r.Length < 0 && b.empty() {
		r.Length = 0
		return
	}
	r.Body, r.Trailer = b, f.trailer(hr)
}

func proto(hr *http.Request) exchange.Proto {
	switch {
	case hr.ProtoMajor == 3 || hr.Proto == "websocket":
		return exchange.HTTP3
	case hr.ProtoMajor == 2:
		return exchange.HTTP2
	case hr.ProtoMinor >= 1:
		return exchange.HTTP11
	}
	return exchange.HTTP10
}

// header lists fields in the order of their names: net/http keeps none.
// Framing fields are the front end's own.
func header(in http.Header) exchange.Header {
	out := make(exchange.Header, 0, len(in)+8)
	for name, values := range in {
		name = strings.ToLower(name)
		switch name {
		case "content-length", "transfer-encoding", "host":
			continue
		}
		for _, v := range values {
			out = append(out, exchange.Field{Name: name, Value: v})
		}
	}
	slices.SortStableFunc(out, func(a, b exchange.Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// splitTarget takes the origin-form out of a request target. An
// absolute-form, which only HTTP/1 has (RFC 9112, 3.2.2), loses scheme and
// authority, which net/http has put into Host.
func splitTarget(target string, absolute bool) (path, query string) {
	if absolute && target != "" && target[0] != '/' && target != "*" {
		if _, rest, ok := strings.Cut(target, "://"); ok {
			i := strings.IndexAny(rest, "/?")
			if i < 0 {
				return "/", ""
			}
			if target = rest[i:]; target[0] == '?' {
				target = "/" + target
			}
		}
	}
	if i := strings.IndexByte(target, '?'); i >= 0 {
		return target[:i], target[i:]
	}
	return target, ""
}

// splitHost separates the port. A host that is malformed comes back as it
// is, for admission to refuse.
func splitHost(authority string) (host, port string) {
	if !strings.Contains(authority, ":") || strings.HasSuffix(authority, "]") {
		return authority, ""
	}
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		return authority, ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host, port
}

// upgrade returns the protocol that the client wants to switch to, of
// those that we carry: WebSocket, by HTTP/1.1's Upgrade (RFC 6455) or an
// extended CONNECT over HTTP/3 (RFC 9220). Any other token, h2c above
// all, is no upgrade, and the field goes no further than here.
func upgrade(hr *http.Request) string {
	if hr.Method == http.MethodConnect && hr.Proto == "websocket" {
		return "websocket"
	}
	if hr.ProtoMajor != 1 || hr.ProtoMinor != 1 || hr.Method != http.MethodGet || hr.ContentLength != 0 {
		return ""
	}
	h := header(hr.Header)
	if !strings.EqualFold(h.Joined("upgrade"), "websocket") {
		return ""
	}
	for option := range h.Members("connection") {
		if strings.EqualFold(option, "upgrade") {
			return "websocket"
		}
	}
	return ""
}

// trailer returns the reader of a request's trailer fields. Those over
// the limit are dropped whole: a part of them would mean something else.
func (f *Front) trailer(hr *http.Request) func() exchange.Header {
	return func() exchange.Header {
		h, size := header(hr.Trailer), 0
		for _, field := range h {
			size += len(field.Name) + len(field.Value)
		}
		if size > f.conf.Limits.RequestTrailers {
			f.conf.Counters.Hit(limits.RequestTrailers)
			return nil
		}
		return h
	}
}

// linger is how long the rest of a body that nobody wants may take.
const linger = time.Second

// body is a request body that must keep coming: after a grace its rate
// may not fall under the limit. One goroutine reads it; another may close
// it meanwhile.
type body struct {
	w   *writer
	rc  io.ReadCloser
	tcp *conn // nil over QUIC

	whole atomic.Bool // read to its end

	// Owned by the reader.
	peeked  []byte // read already, by empty
	read    int64
	waited  time.Duration // time spent waiting for the client
	failure error
}

func newBody(w *writer, rc io.ReadCloser, tcp *conn) *body {
	b := &body{w: w, rc: rc, tcp: tcp}
	w.body = b
	return b
}

// empty waits for the first byte or the end. A head of HTTP/3 does not say
// whether content follows: only the end of the stream does, and it comes
// with the head of a request that has none.
func (b *body) empty() bool {
	first := make([]byte, 1)
	n, err := b.Read(first)
	b.peeked = first[:n]
	return n == 0 && err == io.EOF
}

// Read implements io.Reader. Only the time in which we wait for the client
// counts: an origin that takes its body slowly is not the client's fault.
func (b *body) Read(p []byte) (int, error) {
	if len(b.peeked) > 0 {
		n := copy(p, b.peeked)
		b.peeked = b.peeked[n:]
		return n, nil
	}
	if b.failure != nil {
		return 0, b.failure
	}
	lim := &b.w.front.conf.Limits
	allowed := lim.BodyStall + time.Duration(b.read)*time.Second/time.Duration(lim.MinRate) - b.waited
	allowed = min(max(allowed, time.Millisecond), lim.BodyStall)
	start := time.Now()
	b.enter(reading)
	_ = b.w.rc.SetReadDeadline(start.Add(allowed)) // an error shows in Read
	n, err := b.rc.Read(p)
	b.waited += time.Since(start)
	b.read += int64(n)
	switch {
	case err == io.EOF:
		b.finish()
	case err != nil && isTimeout(err):
		b.w.front.conf.Counters.Hit(limits.MinRate)
	}
	b.failure = err
	return n, err
}

// finish takes the read deadline away: net/http reads on in the background
// to learn of a client that leaves, and a deadline would look like one.
func (b *body) finish() {
	b.whole.Store(true)
	b.enter(active)
	_ = b.w.rc.SetReadDeadline(time.Time{})
}

func (b *body) enter(p phase) {
	if b.tcp != nil {
		b.tcp.phase.Store(p)
	}
}

// Close implements io.Closer. net/http reads a part of what is left, to
// save the connection; a client that sends nothing must not hold it up.
func (b *body) Close() error {
	if !b.whole.Load() {
		_ = b.w.rc.SetReadDeadline(time.Now().Add(linger)) // an error shows in Close
	}
	return b.rc.Close()
}

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}
