package http1

import (
	"slices"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// scan reads a head off the beginning of text, as a connection does. n is 0
// when there is only a part of one.
func scan(text string, lim *limits.Limits) (h head, r exchange.Request, n int, why exchange.Refusal) {
	from := newInputs(len(text))
	in := input{p: &wire.Plain{}, from: &from}
	in.makeRoom()
	for len(*in.buf)-in.w < len(text) {
		in.buf = from.large.Get().(*[]byte)
	}
	in.w = copy(*in.buf, text)
	if n, why = in.head(lim); n == 0 || why != exchange.Admitted {
		return h, r, n, why
	}
	return h, r, n + in.r, h.parse(in.bytes()[:n], &r, lim)
}

const host = "Host: a\r\n"

func getWith(fields string) string  { return "GET / HTTP/1.1\r\n" + fields + "\r\n" }
func postWith(fields string) string { return "POST / HTTP/1.1\r\n" + host + fields + "\r\n" }
func getOf(target string) string    { return "GET " + target + " HTTP/1.1\r\n" + host + "\r\n" }

// refusedHeads are heads that two readers could read in two ways, or that
// nobody should read at all.
var refusedHeads = []struct {
	name, text string
	want       exchange.Refusal
}{
	{"empty line twice", "\r\n\r\n" + getWith(host), exchange.BadRequest},
	{"bare LF before", "\n" + getWith(host), exchange.BadRequest},
	{"space before", " " + getWith(host), exchange.BadRequest},
	{"no target", "GET HTTP/1.1\r\n" + host + "\r\n", exchange.BadRequest},
	{"HTTP/0.9", "GET /\r\n\r\n", exchange.BadRequest},
	{"two spaces before the target", "GET  / HTTP/1.1\r\n" + host + "\r\n", exchange.BadRequest},
	{"two spaces behind it", "GET /  HTTP/1.1\r\n" + host + "\r\n", exchange.BadRequest},
	{"space at the end", "GET / HTTP/1.1 \r\n" + host + "\r\n", exchange.BadRequest},
	{"tab before the target", "GET\t/ HTTP/1.1\r\n" + host + "\r\n", exchange.BadRequest},
	{"tab behind it", "GET /\tHTTP/1.1\r\n" + host + "\r\n", exchange.BadRequest},
	{"space in the target", getOf("/a b"), exchange.BadRequest},
	{"lower-case version", "GET / http/1.1\r\n" + host + "\r\n", exchange.BadRequest},
	{"long version", "GET / HTTP/1.10\r\n" + host + "\r\n", exchange.BadRequest},
	{"short version", "GET / HTTP/1\r\n" + host + "\r\n", exchange.BadRequest},
	{"version 1.2", "GET / HTTP/1.2\r\n" + host + "\r\n", exchange.BadVersion},
	{"version 2.0", "GET / HTTP/2.0\r\n" + host + "\r\n", exchange.BadVersion},
	{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", exchange.BadVersion},
	{"method that is no token", "G@T / HTTP/1.1\r\n" + host + "\r\n", exchange.BadRequest},
	{"handshake of TLS", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", exchange.BadRequest},
	{"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", exchange.BadMethod},

	{"LF only", "GET / HTTP/1.1\nHost: a\n\n", exchange.BadRequest},
	{"LF behind a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", exchange.BadRequest},
	{"LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", exchange.BadRequest},
	{"LF in a value", getWith(host + "A: b\nB: c\r\n"), exchange.BadRequest},
	{"bare CR in a value", getWith(host + "A: b\rB: c\r\n"), exchange.BadField},
	{"bare CR at the end of a value", getWith(host + "A: b\r\r\n"), exchange.BadField},
	{"bare CR as a line", getWith(host + "\r\r\n"), exchange.BadField},
	{"bare CR in the request line", "GET /\rHost: HTTP/1.1\r\n\r\n", exchange.BadRequest},
	{"line that goes on", getWith(host + "A: b\r\n c\r\n"), exchange.BadField},
	{"line that goes on, by tab", getWith(host + "A: b\r\n\tc\r\n"), exchange.BadField},
	{"first field goes on", getWith(" " + host), exchange.BadField},
	{"space before the colon", getWith("Host : a\r\n"), exchange.BadField},
	{"tab before the colon", getWith("Host\t: a\r\n"), exchange.BadField},
	{"empty name", getWith(host + ": b\r\n"), exchange.BadField},
	{"no colon", getWith(host + "Abc\r\n"), exchange.BadField},
	{"space in a name", getWith(host + "A b: c\r\n"), exchange.BadField},
	{"NUL in a name", getWith(host + "A\x00: c\r\n"), exchange.BadField},
	{"byte above ASCII in a name", getWith(host + "A\xc3\xa9: c\r\n"), exchange.BadField},
	{"NUL in a value", getWith(host + "A: b\x00\r\n"), exchange.BadField},
	{"control in a value", getWith(host + "A: b\x0bc\r\n"), exchange.BadField},
	{"DEL in a value", getWith(host + "A: b\x7f\r\n"), exchange.BadField},

	{"no Host", getWith(""), exchange.BadHost},
	{"empty Host", getWith("Host:\r\n"), exchange.BadHost},
	{"two of Host", getWith(host + host), exchange.BadHost},
	{"two of Host in HTTP/1.0", "GET / HTTP/1.0\r\n" + host + "Host: b\r\n\r\n", exchange.BadHost},
	{"Host with user", getWith("Host: a@b\r\n"), exchange.BadHost},
	{"Host with path", getWith("Host: a/b\r\n"), exchange.BadHost},
	{"Host as a list", getWith("Host: a, b\r\n"), exchange.BadHost},
	{"Host with a space", getWith("Host: a b\r\n"), exchange.BadHost},
	{"Host with an empty port", getWith("Host: a:\r\n"), exchange.BadHost},
	{"Host with a worded port", getWith("Host: a:http\r\n"), exchange.BadHost},
	{"Host with two ports", getWith("Host: a:1:2\r\n"), exchange.BadHost},
	{"Host with an escape", getWith("Host: %61\r\n"), exchange.BadHost},
	{"Host above ASCII", getWith("Host: \xc3\xa4\r\n"), exchange.BadHost},

	{"target without a slash", getOf("a"), exchange.BadTarget},
	{"target with a fragment", getOf("/a#b"), exchange.BadTarget},
	{"target with a backslash", getOf(`/a\b`), exchange.BadTarget},
	{"target with a control", getOf("/a\x01"), exchange.BadTarget},
	{"target with NUL", getOf("/a\x00"), exchange.BadTarget},
	{"target above ASCII", getOf("/\xc3\xa4"), exchange.BadTarget},
	{"asterisk for GET", getOf("*"), exchange.BadTarget},
	{"asterisk and more", "OPTIONS *? HTTP/1.1\r\n" + host + "\r\n", exchange.BadTarget},
	{"authority for GET", getOf("a:443"), exchange.BadTarget},
	{"other scheme", getOf("ftp://a/"), exchange.BadTarget},
	{"no scheme", getOf("://a/"), exchange.BadTarget},
	{"no authority", getOf("http:///a"), exchange.BadTarget},
	{"one slash", getOf("http:/a"), exchange.BadTarget},
	{"other authority", getOf("http://b/"), exchange.BadHost},
	{"other port", getOf("http://a:80/"), exchange.BadHost},
	{"user in the target", getOf("http://b@a/"), exchange.BadHost},
	{"absolute without Host", "GET http://a/ HTTP/1.1\r\n\r\n", exchange.BadHost},

	{"length and coding", postWith("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), exchange.BadFraming},
	{"coding and length", postWith("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), exchange.BadFraming},
	{"coding and no length", postWith("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), exchange.BadFraming},
	{"two lengths", postWith("Content-Length: 3\r\nContent-Length: 4\r\n"), exchange.BadFraming},
	{"two equal lengths", postWith("Content-Length: 3\r\nContent-Length: 3\r\n"), exchange.BadFraming},
	{"lengths of nothing", postWith("Content-Length: 0\r\nContent-Length: 0\r\n"), exchange.BadFraming},
	{"list of lengths", postWith("Content-Length: 3, 3\r\n"), exchange.BadFraming},
	{"empty length", postWith("Content-Length:\r\n"), exchange.BadFraming},
	{"plus", postWith("Content-Length: +3\r\n"), exchange.BadFraming},
	{"minus", postWith("Content-Length: -3\r\n"), exchange.BadFraming},
	{"hexadecimal", postWith("Content-Length: 0x3\r\n"), exchange.BadFraming},
	{"digits in two words", postWith("Content-Length: 3 4\r\n"), exchange.BadFraming},
	{"fraction", postWith("Content-Length: 3.0\r\n"), exchange.BadFraming},
	{"length over 63 bits", postWith("Content-Length: 9223372036854775808\r\n"), exchange.BadFraming},
	{"length over 64 bits", postWith("Content-Length: 18446744073709551619\r\n"), exchange.BadFraming},
	{"two codings", postWith("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), exchange.BadFraming},
	{"list of codings", postWith("Transfer-Encoding: gzip, chunked\r\n"), exchange.BadFraming},
	{"chunked not last", postWith("Transfer-Encoding: chunked, gzip\r\n"), exchange.BadFraming},
	{"chunked twice", postWith("Transfer-Encoding: chunked, chunked\r\n"), exchange.BadFraming},
	{"a Kelvin sign for a k", postWith("Transfer-Encoding: chun\u212aed\r\n"), exchange.BadFraming},
	{"identity", postWith("Transfer-Encoding: identity\r\n"), exchange.BadFraming},
	{"empty coding", postWith("Transfer-Encoding:\r\n"), exchange.BadFraming},
	{"quoted coding", postWith("Transfer-Encoding: \"chunked\"\r\n"), exchange.BadFraming},
	{"misspelt coding", postWith("Transfer-Encoding: xchunked\r\n"), exchange.BadFraming},
	{"coding with a parameter", postWith("Transfer-Encoding: chunked;q=1\r\n"), exchange.BadFraming},
	{"coding in HTTP/1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", exchange.BadFraming},
	{"other expectation", postWith("Expect: 200-ok\r\n"), exchange.BadExpect},
	{"more than one expectation", postWith("Expect: 100-continue, x\r\n"), exchange.BadExpect},

	{"long target", getOf("/" + strings.Repeat("a", 16<<10)), exchange.URITooLong},
	{"long target without end", "GET /" + strings.Repeat("a", 17<<10), exchange.URITooLong},
	{"long head", getWith(host + "A: " + strings.Repeat("a", 32<<10) + "\r\n"), exchange.HeadTooLarge},
	{"long head without end", "GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("a", 33<<10), exchange.HeadTooLarge},
	{"many fields", getWith(host + strings.Repeat("A: b\r\n", 101)), exchange.TooManyFields},
}

func TestHeadRefused(t *testing.T) {
	for _, tc := range refusedHeads {
		t.Run(tc.name, func(t *testing.T) {
			lim := limits.Default()
			if _, r, _, why := scan(tc.text, &lim); why != tc.want {
				t.Errorf("refused for %q, want %q; %+v", why, tc.want, r)
			}
		})
	}
}

// acceptedHeads are heads of all forms that are served.
var acceptedHeads = []struct {
	name, text string
	want       exchange.Request
	head       head
}{
	{
		"plain", "GET /a?b HTTP/1.1\r\nHost: a.example\r\n\r\n",
		exchange.Request{Method: "GET", Host: "a.example", Path: "/a", Query: "?b"},
		head{},
	},
	{
		"behind an empty line", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		exchange.Request{Method: "GET", Host: "a", Path: "/"},
		head{},
	},
	{
		"white space around a value", "GET / HTTP/1.1\r\nhOST: \t a:1 \t\r\nA:b\r\n\r\n",
		exchange.Request{Method: "GET", Host: "a", Port: "1", Path: "/", Header: exchange.Header{{Name: "a", Value: "b"}}},
		head{},
	},
	{
		"bytes above ASCII in a value", "GET / HTTP/1.1\r\nHost: a\r\nA: \xc3\xa9\tb\r\n\r\n",
		exchange.Request{Method: "GET", Host: "a", Path: "/", Header: exchange.Header{{Name: "a", Value: "\xc3\xa9\tb"}}},
		head{},
	},
	{
		"address", "GET / HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n",
		exchange.Request{Method: "GET", Host: "[::1]", Port: "8443", Path: "/"},
		head{},
	},
	{
		"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
		exchange.Request{Method: "GET", Host: "a", Path: "/", Header: exchange.Header{{Name: "connection", Value: "keep-alive"}}},
		head{close: true},
	},
	{
		"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n",
		exchange.Request{Method: "GET", Path: "/"},
		head{close: true},
	},
	{
		"absolute", "GET http://A.example/b?c HTTP/1.1\r\nHost: a.Example\r\n\r\n",
		exchange.Request{Method: "GET", Host: "A.example", Path: "/b", Query: "?c"},
		head{},
	},
	{
		"absolute without a path", "GET HTTPS://a:1?c/d HTTP/1.1\r\nHost: a:1\r\n\r\n",
		exchange.Request{Method: "GET", Host: "a", Port: "1", Path: "/", Query: "?c/d"},
		head{},
	},
	{
		"absolute in HTTP/1.0 without Host", "GET http://a HTTP/1.0\r\n\r\n",
		exchange.Request{Method: "GET", Host: "a", Path: "/"},
		head{close: true},
	},
	{
		"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		exchange.Request{Method: "OPTIONS", Host: "a", Path: "*"},
		head{},
	},
	{
		"asterisk, absolute", "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
		exchange.Request{Method: "OPTIONS", Host: "a", Path: "*"},
		head{},
	},
	{
		"length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0012\r\n\r\n",
		exchange.Request{Method: "POST", Host: "a", Path: "/", Length: 12},
		head{length: 12},
	},
	{
		"length of nothing", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
		exchange.Request{Method: "POST", Host: "a", Path: "/", Header: exchange.Header{{Name: "expect", Value: "100-continue"}}},
		head{},
	},
	{
		"chunked", "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n\r\n",
		exchange.Request{Method: "PUT", Host: "a", Path: "/", Length: -1, Header: exchange.Header{{Name: "expect", Value: "100-Continue"}}},
		head{chunked: true, expects: true},
	},
	{
		"expectation in HTTP/1.0", "PUT / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
		exchange.Request{Method: "PUT", Host: "a", Path: "/", Length: 1},
		head{length: 1, close: true},
	},
	{
		"close among others", "GET / HTTP/1.1\r\nHost: a\r\nConnection: x,\t Close ,\r\n\r\n",
		exchange.Request{Method: "GET", Host: "a", Path: "/", Header: exchange.Header{{Name: "connection", Value: "x,\t Close ,"}}},
		head{close: true},
	},
	{
		"target within the limit", "GET /" + longTarget + " HTTP/1.1\r\nHost: a\r\n\r\n",
		exchange.Request{Method: "GET", Host: "a", Path: "/" + longTarget},
		head{},
	},
}

var longTarget = strings.Repeat("a", 16<<10-1)

func TestHeadAccepted(t *testing.T) {
	for _, tc := range acceptedHeads {
		t.Run(tc.name, func(t *testing.T) {
			lim := limits.Default()
			h, r, n, why := scan(tc.text, &lim)
			if !strings.Contains(tc.text, "HTTP/1.0") {
				tc.want.Proto = exchange.HTTP11
			}
			if why != exchange.Admitted || n != len(tc.text) {
				t.Fatalf("refused for %q after %d bytes", why, n)
			}
			compareRequests(t, &r, &tc.want)
			if h.length != tc.head.length || h.chunked != tc.head.chunked || h.expects != tc.head.expects || h.close != tc.head.close {
				t.Errorf("%+v, want %+v", h, tc.head)
			}
		})
	}
}

func compareRequests(t *testing.T, got, want *exchange.Request) {
	t.Helper()
	if got.Method != want.Method || got.Proto != want.Proto || got.Host != want.Host || got.Port != want.Port || got.Path != want.Path ||
		got.Query != want.Query || got.Length != want.Length || got.Upgrade != want.Upgrade || !slices.Equal(got.Header, want.Header) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestUpgrade: WebSocket is the one protocol to switch to.
func TestUpgrade(t *testing.T) {
	const asks = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
	for _, tc := range []struct {
		name, line, fields string
		want               string
	}{
		{"asked for", "GET / HTTP/1.1", asks, "websocket"},
		{"without the option", "GET / HTTP/1.1", "Upgrade: websocket\r\n", ""},
		{"option alone", "GET / HTTP/1.1", "Connection: upgrade\r\n", ""},
		{"h2c", "GET / HTTP/1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", ""},
		{"h2c, too", "GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", ""},
		{"h2c on another line", "GET / HTTP/1.1", asks + "Upgrade: h2c\r\n", ""},
		{"by POST", "POST / HTTP/1.1", asks, ""},
		{"with content", "GET / HTTP/1.1", asks + "Content-Length: 1\r\n", ""},
		{"with chunked content", "GET / HTTP/1.1", asks + "Transfer-Encoding: chunked\r\n", ""},
		{"in HTTP/1.0", "GET / HTTP/1.0", asks, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lim := limits.Default()
			_, r, _, why := scan(tc.line+"\r\nHost: a\r\n"+tc.fields+"\r\n", &lim)
			if why != exchange.Admitted || r.Upgrade != tc.want {
				t.Errorf("upgrade %q, refused for %q", r.Upgrade, why)
			}
		})
	}
}

// TestHeadInPieces: a head is the same however it arrives, and what is
// refused is refused by its first bad byte at the latest by its end.
func TestHeadInPieces(t *testing.T) {
	lim := limits.Default()
	text := "\r\nGET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
	from := newInputs(lim.RequestHead)
	in := input{from: &from}
	in.makeRoom()
	for i := range len(text) {
		(*in.buf)[in.w] = text[i]
		in.w++
		n, why := in.head(&lim)
		if whole := i == len(text)-1; why != exchange.Admitted || (n > 0) != whole || whole && n != len(text)-2 {
			t.Fatalf("after %d bytes: %d, %q", i+1, n, why)
		}
	}
}
