package http1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// seeds are requests, several of them such as readers differ about.
var seeds = []string{
	get, get + get, "\r\n" + get, "\n" + get, browser, upgrade + get,
	"GET / HTTP/1.0\r\n\r\n" + get,
	"GET http://a/b?c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + get,
	"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + get,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tchunked \r\n\r\n0\r\n\r\n" + get,
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + get,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + get,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc" + get,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc" + get,
	"POST / HTTP/1.1\r\nHost: a\r\nA: b\r\n Content-Length: 3\r\n\r\nabc" + get,
	"POST / HTTP/1.1\r\nHost: a\r\nA: b\rContent-Length: 3\r\n\r\nabc" + get,
	"POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc" + get,
	chunkedPost + "3;a=\"b;c\"\r\nabc\r\n0\r\nETag: x\r\n\r\n" + get,
	chunkedPost + "3\r\nabc\r\n0\r\n\n" + get, chunkedPost + "03\nabc\r\n0\r\n\r\n" + get,
	chunkedPost + "3\r\nabcX0\r\n\r\n" + get,
}

// FuzzHead: a head that is accepted reads in exactly one way: to the second
// reader, to net/http where that accepts it, and written out and read again.
func FuzzHead(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	lim := limits.Default()
	f.Fuzz(func(t *testing.T, text string) {
		h, r, n, why := scan(text, &lim)
		if n == 0 || why != exchange.Admitted {
			return
		}
		var x seen
		end, ok := x.readHead(text)
		length, chunked, framed := x.framing()
		if !ok || !framed || end != n || x.method != r.Method || chunked != h.chunked || int64(length) != h.length || x.close != h.close {
			t.Fatalf("%q: read as %+v %+v to %d, and as %+v to %d, %v, %v", text, r, h, n, x, end, ok, framed)
		}
		var fields exchange.Header
		for _, f := range x.fields {
			if f[0] != "host" && f[0] != "content-length" && f[0] != "transfer-encoding" && (f[0] != "expect" || r.Proto == exchange.HTTP11) {
				fields.Add(f[0], f[1])
			}
		}
		if !slices.Equal(fields, r.Header) {
			t.Fatalf("%q: fields %v and %v", text, r.Header, fields)
		}
		again := write11(&r, &h)
		h2, r2, n2, why := scan(again, &lim)
		if why != exchange.Admitted || n2 != len(again) || h2.chunked != h.chunked || h2.length != h.length {
			t.Fatalf("%q: written as %q, which is refused for %q, or ends elsewhere", text, again, why)
		}
		compareRequests(t, &r2, &r)
		compareWithNetHTTP(t, text[:n], &r, &h)
	})
}

// write11 writes a head again.
func write11(r *exchange.Request, h *head) string {
	var b strings.Builder
	b.WriteString(r.Method + " " + r.Target() + " " + r.Proto.String() + "\r\n")
	if r.Host != "" {
		b.WriteString("Host: " + authority(r) + "\r\n")
	}
	switch {
	case h.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	case h.lengths > 0:
		b.Write(appendLength(nil, h.length))
	}
	for _, f := range r.Header {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	return b.String() + "\r\n"
}

// authority is that of a request before admission, with brackets still.
func authority(r *exchange.Request) string {
	if r.Port == "" {
		return r.Host
	}
	return r.Host + ":" + r.Port
}

// compareWithNetHTTP: whatever net/http reads of it, it reads alike.
func compareWithNetHTTP(t *testing.T, text string, r *exchange.Request, h *head) {
	t.Helper()
	hr, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.TrimPrefix(text, "\r\n"))))
	if err != nil {
		return
	}
	want := h.length
	if h.chunked {
		want = -1
	}
	if hr.Method != r.Method || hr.ContentLength != want || (len(hr.TransferEncoding) > 0) != h.chunked {
		t.Errorf("%q: net/http reads %s with %d bytes", text, hr.Method, hr.ContentLength)
	}
	if !strings.EqualFold(hr.Host, authority(r)) {
		t.Errorf("%q: net/http reads host %q", text, hr.Host)
	}
	for _, f := range r.Header {
		if got := hr.Header.Values(f.Name); f.Name != "trailer" && f.Name != "pragma" && !slices.Contains(got, f.Value) {
			t.Errorf("%q: net/http reads %s as %q", text, f.Name, got)
		}
	}
}

// FuzzRequests: what a connection serves of an input, the second reader sees
// too, request by request with all content, and nothing in between.
func FuzzRequests(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, input string) {
		if len(input) > 32<<10 {
			return
		}
		var got []seen
		h := &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
			x := seen{method: r.Method}
			if r.Body != nil {
				b, err := io.ReadAll(r.Body)
				if err != nil {
					w.Abort()
					return
				}
				x.content = string(b)
			}
			got = append(got, x)
			reply(w, r, 200, "")
		}}
		s := open(t, h, nil)
		s.say(t, input)
		_ = s.client.CloseWrite()
		s.rest()
		<-s.done
		want := readStream(input)
		if len(got) > len(want) {
			t.Fatalf("%q: served %+v, but there are %+v", input, got, want)
		}
		for i, x := range got {
			if x.method != want[i].method || x.content != want[i].content {
				t.Errorf("%q: request %d is %+v, served %+v", input, i, want[i], x)
			}
		}
	})
}

// FuzzChunked: content that is accepted is what the second reader reads, to
// the same byte, and net/http's where that accepts it; and it does not
// matter how the bytes arrive.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\nGET", "003;a=b;c=\"\\\"\"\r\nabc\r\n00\r\nETag: a\r\nX: y\r\n\r\n", "3\r\nabc\n0\r\n\r\n",
		"3 \r\nabc\r\n0\r\n\r\n", "fffffffffffffff\r\nabc", "3\r\nabc\r\n0\r\n\n\r\n", "3;\r\nabc\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 7)
	}
	lim := limits.Default()
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		whole, n, done := decodeAll(&lim, b, len(b))
		parts, m, partsDone := decodeAll(&lim, b, max(1, size%32))
		if done != partsDone || done && (m != n || !bytes.Equal(whole, parts)) {
			t.Fatalf("%q: at once %q, %d, %v; in parts %q, %d, %v", b, whole, n, done, parts, m, partsDone)
		}
		if ahead := (&chunked{lim: &lim}).ends(b); ahead != done {
			t.Fatalf("%q ends %v, looked at ahead: %v", b, done, ahead)
		}
		if !done {
			return
		}
		var x seen
		if end, ok := x.readChunks(string(b)); !ok || end != n || x.content != string(whole) {
			t.Fatalf("%q: read %q to %d, and %q to %d, %v", b, whole, n, x.content, end, ok)
		}
		if third, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(b))); err == nil && !bytes.Equal(third, whole) {
			t.Errorf("%q: read %q, net/http reads %q", b, whole, third)
		}
	})
}

// decodeAll decodes b, which arrives in pieces.
func decodeAll(lim *limits.Limits, b []byte, size int) (content []byte, n int, done bool) {
	d := chunked{lim: lim}
	for have := 0; have < len(b) && d.state != chunksEnd; {
		have = min(have+size, len(b))
		for n < have && d.state != chunksEnd {
			run, m, err := d.decode(b[n:have], size)
			if err != nil {
				return content, n + m, false
			}
			content = append(content, run...)
			n += m
		}
	}
	return content, n, d.state == chunksEnd
}

// FuzzTarget: a target that is accepted is for one host and one path, also
// to net/url.
func FuzzTarget(f *testing.F) {
	for _, target := range []string{"/", "//a/b?c?d", "/%zz?%", "*", "http://a", "http://a?b", "HTTPS://a:1/b?c", "http://b@a/", "http:/a", "a:1", "http://[::1]/", "http://a//b"} {
		f.Add("GET", target, "a")
		f.Add("OPTIONS", target, "[::1]:80")
	}
	lim := limits.Default()
	f.Fuzz(func(t *testing.T, method, target, host string) {
		_, r, _, why := scan(method+" "+target+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n", &lim)
		if why != exchange.Admitted || r.Method != method || strings.ContainsAny(host, "\r\n") {
			return
		}
		if r.Path != "*" && !strings.HasPrefix(r.Path, "/") || r.Path == "*" && method != "OPTIONS" || r.Query != "" && r.Query[0] != '?' {
			t.Fatalf("%q: path %q and query %q", target, r.Path, r.Query)
		}
		u, err := url.ParseRequestURI(target)
		if err != nil || r.Path == "*" {
			return
		}
		if path, err := url.PathUnescape(r.Path); err == nil && path != u.Path && (u.Path != "" || path != "/") {
			t.Errorf("%q: path %q, to net/url %q", target, path, u.Path)
		}
		if strings.TrimPrefix(r.Query, "?") != u.RawQuery {
			t.Errorf("%q: query %q, to net/url %q", target, r.Query, u.RawQuery)
		}
		if u.Host != "" && !strings.EqualFold(u.Host, strings.Trim(host, " \t")) {
			t.Errorf("%q: host %q, to net/url %q", target, host, u.Host)
		}
	})
}
