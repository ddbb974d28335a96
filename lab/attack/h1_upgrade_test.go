package attack

import (
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
)

// upgrade is a WebSocket handshake with more lines.
func upgrade(lines ...string) string {
	return head("GET /a HTTP/1.1", append([]string{
		"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	}, lines...)...)
}

// switched is an origin's consent to an upgrade.
func switched(r *request) answer {
	if r.value("upgrade") == "" {
		return answer{}
	}
	sum := sha1.Sum([]byte(r.value("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, 4.2.2
	return answer{bytes: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"}
}

// upgradeCases go to an origin that does not switch: nothing may be
// tunnelled, and no word of the protocol may reach it unless it was asked
// for properly.
var upgradeCases = []h1case{
	noUpgrade("h2c", "Bishop Fox, h2c smuggling, 2020", head("GET /a HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")),
	noUpgrade("h2c without the settings", "Bishop Fox 2020", head("GET /a HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c")),
	noUpgrade("h2c that Connection does not name", "Bishop Fox 2020", head("GET /a HTTP/1.1", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")),
	noUpgrade("h2c in capitals", "Bishop Fox 2020", head("GET /a HTTP/1.1", "Connection: Upgrade", "Upgrade: H2C")),
	noUpgrade("h2c beside websocket", "RFC 9110 7.8", head("GET /a HTTP/1.1", "Connection: Upgrade", "Upgrade: h2c, websocket")),
	noUpgrade("h2c on a second line", "RFC 9110 7.8", head("GET /a HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c")),
	noUpgrade("TLS", "RFC 2817", head("GET /a HTTP/1.1", "Connection: Upgrade", "Upgrade: TLS/1.0")),
	noUpgrade("websocket that Connection does not name", "RFC 9110 7.8", head("GET /a HTTP/1.1", "Upgrade: websocket")),
	noUpgrade("websocket in HTTP 1.0", "RFC 9110 7.8: MUST ignore", head("GET /a HTTP/1.0", "Connection: Upgrade", "Upgrade: websocket")),
	{
		name: "websocket by POST", source: "RFC 6455 4.1: GET",
		send: post("Connection: Upgrade", "Upgrade: websocket", "Content-Length: "+length(hidden)) + hidden + next, replies: 2,
		want: anyOf(refused(400), all(passed("POST /a "+hidden, "GET /next"), atOrigin("upgrade", ""))),
	},
	{
		name: "websocket with content", source: "CVE-2026-58055: content left on a connection that is kept",
		send: upgrade("Content-Length: "+length(hidden)) + hidden + next, replies: 2,
		want: anyOf(denied(400), refused(400), all(passed("GET /a "+hidden, "GET /next"), atOrigin("upgrade", "")),
			all(exactly("GET /a", "GET /next"), atOrigin("upgrade", ""))),
	},
	{
		name: "websocket with chunks", source: "CVE-2026-58055",
		send: upgrade("Transfer-Encoding: chunked") + chunk(hidden) + "0\r\n\r\n" + next, replies: 2,
		want: anyOf(denied(400), refused(400), all(passed("GET /a "+hidden, "GET /next"), atOrigin("upgrade", "")),
			all(exactly("GET /a", "GET /next"), atOrigin("upgrade", ""))),
	},
	{
		name: "websocket that is not granted", source: "CVE-2026-2833: bytes passed on before the 101; Egorov 2019",
		send: upgrade() + next, replies: 2,
		// Without a 101 the bytes are HTTP still: a request of its own, or
		// the end of the connection.
		want: all(noTunnel, anyOf(passed("GET /a", "GET /next"), all(exactly("GET /a"), answered(200), closed))),
	},
	{
		name: "websocket of a version that is not granted", source: "Egorov 2019: 426 taken for a 101",
		send: strings.Replace(upgrade(), "Version: 13", "Version: 777", 1) + next, replies: 2,
		want: all(noTunnel, anyOf(denied(400, 426), passed("GET /a", "GET /next"), all(exactly("GET /a"), answered(200), closed))),
	},
}

// tunnelCases go to an origin that switches when it is asked to.
var tunnelCases = []h1case{
	{
		name: "an ordinary tunnel", source: "RFC 6455 1.3",
		send: upgrade(),
		steps: []func(*h1client){func(h *h1client) {
			h.awaitStatus(101)
			h.send("through {m}")
			h.await(func(in []byte) bool { return strings.Contains(string(in), "through ") }, patience)
		}},
		want: all(exactly("GET /a"), answered(101), func(s *seen) error {
			if want := texts(s.host).Replace("through {m}"); s.tunnel != want || s.requests[0].tunnel != want {
				return fmt.Errorf("tunnel %q, at the origin %q", s.tunnel, s.requests[0].tunnel)
			}
			return nil
		}),
	},
	{
		name: "bytes before the 101", source: "CVE-2026-2833",
		send: upgrade() + hidden,
		// They belong to the tunnel, and reach the origin behind the 101.
		want: all(exactly("GET /a"), anyOf(answered(101), dropped, closed)),
	},
	{
		name: "h2c is not switched to", source: "Bishop Fox 2020",
		send: head("GET /a HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk") + next, replies: 2,
		want: all(noTunnel, anyOf(denied(400), passed("GET /a", "GET /next"))),
	},
	{
		name: "a request in a tunnel is no request", source: "Egorov 2019",
		send: upgrade(),
		steps: []func(*h1client){func(h *h1client) {
			h.awaitStatus(101)
			h.send(hidden)
			h.await(func(in []byte) bool { return strings.Contains(string(in), "smuggled") }, patience)
		}},
		want: all(exactly("GET /a"), answered(101)),
	},
}

// noUpgrade is a request whose upgrade is none of ours: it goes on
// without it, or is refused.
func noUpgrade(name, source, text string) h1case {
	return h1case{
		name: name, source: source, send: text,
		want: all(noTunnel, anyOf(denied(400), all(passed("GET /a"), atOrigin("upgrade", ""), atOrigin("connection", ""), atOrigin("http2-settings", "")))),
	}
}

// noTunnel: nothing was switched.
func noTunnel(s *seen) error {
	if s.tunnel != "" {
		return fmt.Errorf("the client has a tunnel: %q", s.tunnel)
	}
	for _, r := range s.requests {
		if r.tunnel != "" {
			return fmt.Errorf("the origin has a tunnel: %q", r.tunnel)
		}
	}
	for _, r := range s.replies {
		if r.status == 101 {
			return fmt.Errorf("the client was answered 101")
		}
	}
	return nil
}
