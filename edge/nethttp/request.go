package nethttp

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// request turns what net/http or http3 parsed into an exchange.Request.
func (s *Server) request(w *writer, hr *http.Request) *exchange.Request {
	r := &exchange.Request{
		Proto:   proto(hr),
		Method:  hr.Method,
		Scheme:  "https",
		Header:  header(hr.Header),
		Length:  hr.ContentLength,
		TLS:     &exchange.TLS{ServerName: hr.TLS.ServerName},
		Conn:    &exchange.Conn{},
		Arrived: time.Now(),
		Interim: func(status int, h exchange.Header) { _ = w.Interim(status, h) },
	}
	r.Host, r.Port = splitHost(hr.Host)
	r.Path, r.Query = splitTarget(hr.RequestURI, hr.ProtoMajor == 1)
	if r.Upgrade = upgrade(hr); r.Upgrade != "" {
		r.Method = http.MethodGet
	}
	if hr.Body == nil || hr.Body == http.NoBody || hr.ContentLength == 0 || r.Upgrade != "" {
		r.Length = 0
		return r
	}
	r.Body, r.Trailer = hr.Body, func() exchange.Header { return header(hr.Trailer) }
	if r.Proto == exchange.HTTP3 && r.Length < 0 {
		// A head of HTTP/3 does not say whether content follows: only the
		// end of the stream does.
		first := make([]byte, 1)
		n, err := hr.Body.Read(first)
		if n == 0 && err == io.EOF {
			r.Body, r.Length = nil, 0
			return r
		}
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(strings.NewReader(string(first[:n])), hr.Body), hr.Body}
	}
	return r
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
