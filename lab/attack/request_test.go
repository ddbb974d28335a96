package attack

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// request is what reached the origin.
type request struct {
	message
	method, target, host string
	// cut says that the connection ended in the middle of it.
	cut bool
	// tunnel is what came after a switch of protocols.
	tunnel string
}

// line is the short form that outcomes compare.
func (r *request) line() string {
	s := r.method + " " + r.target
	if len(r.body) > 0 {
		s += " " + string(r.body)
	}
	if r.cut {
		s += " (cut)"
	}
	return s
}

// readRequestHead reads a request's head and judges it.
func readRequestHead(s *strict) (*request, error) {
	m, err := s.readHead()
	r := &request{}
	if err == nil {
		err = r.judge(s)
	}
	r.message = *m
	return r, err
}

// judge takes the request line apart and finds what two readers could
// read in two ways.
func (r *request) judge(s *strict) error {
	parts := strings.Split(s.m.start, " ")
	if len(parts) != 3 || !isToken(parts[0]) || parts[1] == "" || parts[2] != "HTTP/1.1" {
		return s.fail("request line %q", s.m.start)
	}
	r.method, r.target = parts[0], parts[1]
	if strings.ContainsAny(r.target, "#\\\t") || !strings.HasPrefix(r.target, "/") && !strings.HasPrefix(r.target, "http://") && r.target != "*" {
		return s.fail("request target %q", r.target)
	}
	path, _, _ := strings.Cut(r.target, "?")
	for segment := range strings.SplitSeq(strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", "/", "%5C", "/", "%2e", ".", "%2E", ".").Replace(path), "/") {
		if segment == "." || segment == ".." {
			return s.fail("dot segment in %q", r.target)
		}
	}
	hosts := s.m.values("host")
	if len(hosts) != 1 || hosts[0] == "" || strings.ContainsAny(hosts[0], "/\\@ ,\t?#") {
		return s.fail("Host %q", hosts)
	}
	r.host = hosts[0]
	for option := range strings.SplitSeq(s.m.value("connection"), ",") {
		option = strings.ToLower(strings.TrimSpace(option))
		if !slices.Contains([]string{"", "close", "keep-alive", "upgrade", "te"}, option) {
			return s.fail("Connection names %q", option)
		}
	}
	if up := s.m.values("upgrade"); len(up) > 0 && !slices.Equal(up, []string{"websocket"}) {
		return s.fail("Upgrade %q", up)
	}
	for _, name := range []string{"http2-settings", "proxy-connection", "keep-alive"} {
		if v := s.m.values(name); len(v) > 0 {
			return s.fail("%s %q", name, v)
		}
	}
	return nil
}

// readRequestBody reads the content of a request whose head is read.
func readRequestBody(s *strict, r *request) error {
	length, chunked, err := s.framing()
	if err == nil && (chunked || length > 0) {
		err = s.readBody(length, chunked)
	}
	r.message = *s.m
	r.cut = err == io.ErrUnexpectedEOF
	return err
}

// TestStrictReader: the judge itself must be able to find fault.
func TestStrictReader(t *testing.T) {
	const host = "Host: a\r\n"
	for _, c := range []struct{ name, in, flaw string }{
		{"plain", "GET / HTTP/1.1\r\n" + host + "\r\n", ""},
		{"content", "POST / HTTP/1.1\r\n" + host + "Content-Length: 2\r\n\r\nab", ""},
		{"chunks", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Checksum: 1\r\n\r\n", ""},
		{"both lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "and Transfer-Encoding"},
		{"two lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n", "Content-Length"},
		{"signed length", "POST / HTTP/1.1\r\n" + host + "Content-Length: +2\r\n\r\n", "Content-Length"},
		{"huge length", "POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", "Content-Length"},
		{"coding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: xchunked\r\n\r\n", "Transfer-Encoding"},
		{"bare LF", "GET / HTTP/1.1\n" + host + "\r\n", "without CR"},
		{"bare CR", "GET / HTTP/1.1\r\n" + host + "X: a\rb\r\n\r\n", "control byte"},
		{"fold", "GET / HTTP/1.1\r\n" + host + "X: a\r\n b\r\n\r\n", "field line"},
		{"space before colon", "GET / HTTP/1.1\r\n" + host + "X : a\r\n\r\n", "field line"},
		{"underscore", "GET / HTTP/1.1\r\n" + host + "X_Y: a\r\n\r\n", "underscore"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "Host"},
		{"two hosts", "GET / HTTP/1.1\r\n" + host + host + "\r\n", "Host"},
		{"version", "GET / HTTP/1.0\r\n" + host + "\r\n", "request line"},
		{"spaces", "GET  / HTTP/1.1\r\n" + host + "\r\n", "request line"},
		{"dot segment", "GET /a/%2e%2E/b HTTP/1.1\r\n" + host + "\r\n", "dot segment"},
		{"h2c", "GET / HTTP/1.1\r\n" + host + "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", "Upgrade"},
		{"nominated", "GET / HTTP/1.1\r\n" + host + "Connection: close, x-a\r\n\r\n", "Connection names"},
		{"extension", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2;a\r\nab\r\n0\r\n\r\n", "chunk size"},
		{"long chunk", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", "after a chunk"},
		{"framing in trailer", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", "trailer field"},
	} {
		s := &strict{r: bufio.NewReader(strings.NewReader(c.in))}
		r, err := readRequestHead(s)
		if err == nil {
			err = readRequestBody(s, r)
		}
		if (c.flaw == "") != (err == nil) || !strings.Contains(r.flaw, c.flaw) || err != nil && !errors.Is(err, errFlaw) {
			t.Errorf("%s: flaw %q, error %v, want %q", c.name, r.flaw, err, c.flaw)
		}
		if c.flaw == "" && string(r.raw) != c.in {
			t.Errorf("%s: kept %q of %q", c.name, r.raw, c.in)
		}
	}
}
