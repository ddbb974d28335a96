package attack

import (
	"fmt"
	"strings"
)

// warm asks for /warm, which the storing site keeps, and waits for it.
func warm(then string) (send string, steps []func(*h1client)) {
	return head("GET /warm HTTP/1.1"), []func(*h1client){func(h *h1client) {
		h.await(func(in []byte) bool { return parseReplies(in, false, nil).replies != nil }, patience)
		h.send(then)
	}}
}

// hitCases ask for what is stored by requests that are not as simple as
// they look: what answers fast must not read less carefully.
var hitCases = []h1case{
	onHit("in a row", "RFC 9112 9.3.2", strings.Repeat(head("GET /warm HTTP/1.1"), 5), 5, answered(200, 200, 200, 200, 200, 200), open),
	onHit("with content", "Kettle 2022: CL.0; CVE-2025-4366", head("GET /warm HTTP/1.1", "Content-Length: "+length(hidden))+hidden+next, 2,
		anyOf(answered(200, 200, 200), all(answered(200, 200), closed), all(answered(200, 400), closed))),
	onHit("with chunks", "TE.0, 2024; CVE-2025-4366", head("GET /warm HTTP/1.1", "Transfer-Encoding: chunked")+chunk(hidden)+"0\r\n\r\n"+next, 2,
		anyOf(answered(200, 200, 200), all(answered(200, 200), closed), all(answered(200, 400), closed))),
	onHit("with both lengths", "RFC 9112 6.1", head("GET /warm HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked")+"0\r\n\r\n"+hidden, 1,
		answered(200, 400), closed),
	onHit("with a bad length", "RFC 9110 8.6", head("GET /warm HTTP/1.1", "Content-Length: +0")+hidden, 1, answered(200, 400), closed),
	onHit("with two hosts", "RFC 9112 3.2", head("GET /warm HTTP/1.1", "Host: {host}")+hidden, 1, answered(200, 400)),
	onHit("of HTTP 1.0", "RFC 9112 9.3", head("GET /warm HTTP/1.0")+hidden, 1, answered(200, 200), closed),
	onHit("that closes", "RFC 9112 9.6", head("GET /warm HTTP/1.1", "Connection: close")+hidden, 1, answered(200, 200), closed),
	onHit("with an upgrade", "CVE-2026-2833", strings.Replace(upgrade(), "/a", "/warm", 1)+next, 2, noTunnel,
		anyOf(answered(200, 200, 200), all(answered(200, 200), closed))),
	onHit("with an expectation", "Kettle 2025", head("GET /warm HTTP/1.1", "Expect: 100-continue", "Content-Length: "+length(hidden))+hidden+next, 2,
		anyOf(answered(200, 200, 200), all(answered(200, 200), closed), all(answered(200, 417), closed), answered(200, 417, 200))),
	onHit("with an unknown expectation", "RFC 9110 10.1.1", head("GET /warm HTTP/1.1", "Expect: evil")+next, 2,
		anyOf(answered(200, 417, 200), all(answered(200, 417), closed), answered(200, 200, 200))),
	onHit("in a loop", "RFC 8586", head("GET /warm HTTP/1.1", "CDN-Loop: landfall"), 1, answered(200, 508)),
	onHit("of another method", "RFC 9111 4", head("PURGE /warm HTTP/1.1"), 1, answered(200, 405)),
	onHit("of a bad line", "RFC 9112 5.1", head("GET /warm HTTP/1.1", "X-A : b")+hidden, 1, answered(200, 400), closed),
	onHit("of a folded line", "RFC 9112 5.2", head("GET /warm HTTP/1.1", "X-A: b", " c")+hidden, 1, answered(200, 400), closed),
	onHit("by a dot segment", "RFC 3986 5.2.4", head("GET /b/../warm HTTP/1.1"), 1, answered(200, 400)),
	onHit("with two hundred fields", "CVE-2026-49975", head("GET /warm HTTP/1.1", strings.TrimSuffix(strings.Repeat("X: y\r\n", 200), "\r\n")), 1, answered(200, 431)),
	onHit("with many ranges", "RangeAmp OBR, DSN 2020", head("GET /warm HTTP/1.1", "Range: bytes="+strings.Repeat("0-,", 200)+"0-"), 1,
		anyOf(answered(200, 200), answered(200, 206), answered(200, 416)), func(s *seen) error {
			if n := len(s.replies[1].body); n > 8<<10 {
				return fmt.Errorf("%d bytes", n)
			}
			return nil
		}),
	onHit("that no cache may answer", "RFC 9111 5.2.1.4", head("GET /warm HTTP/1.1", "Cache-Control: no-cache", "Cookie: a=evil")+head("GET /warm HTTP/1.1"), 2,
		answered(200, 200, 200)),
	onHit("with half of its head", "RFC 9112 2.2", head("GET /warm HTTP/1.1")+"GET /warm HTT", 1, anyOf(answered(200, 200), all(answered(200, 200, 408), closed), all(answered(200, 200, 400), closed))),
}

// onHit sends a request for what is stored, or nearly so.
func onHit(name, source, then string, more int, want ...outcome) h1case {
	c := h1case{name: name, source: source, replies: 1 + more, want: all(want...)}
	c.send, c.steps = warm(then)
	return c
}
