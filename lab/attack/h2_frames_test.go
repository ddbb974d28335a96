package attack

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/net/http2"
)

// h2case is a case of HTTP/2's own framing.
type h2case struct {
	name, source string
	settings     []http2.Setting
	// answer is the origin's script; nil is the echo.
	answer func(*request) answer
	// send is run on a connection whose preface and settings were sent.
	send func(*h2client)
	want outcome
}

// h2code: the connection ended with one of these codes; or at once, which
// an endpoint may choose (RFC 9113, 5.4.1).
func h2code(codes ...http2.ErrCode) outcome {
	return func(s *seen) error {
		if !s.ended {
			return fmt.Errorf("the connection is open")
		}
		if s.code == 0 {
			return nil
		}
		for _, c := range codes {
			if s.code == uint64(c) {
				return nil
			}
		}
		return fmt.Errorf("the connection ended with code %v, want %v", http2.ErrCode(s.code), codes)
	}
}

var (
	protocolError = h2code(http2.ErrCodeProtocol)
	frameSize     = h2code(http2.ErrCodeFrameSize, http2.ErrCodeProtocol)
	flowControl   = h2code(http2.ErrCodeFlowControl, http2.ErrCodeProtocol)
)

// frameCases break the rules of frames and streams (RFC 9113, 4 to 6).
var frameCases = []h2case{
	{
		name: "DATA on the connection", source: "RFC 9113 6.1",
		send: func(h *h2client) { h.frame(http2.FrameData, 0, 0, []byte("a")); h.awaitEnd() },
		want: all(untouched, protocolError),
	},
	{
		name: "HEADERS on the connection", source: "RFC 9113 6.2",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 0, h.block(get2()...))
			h.awaitEnd()
		},
		want: all(untouched, protocolError),
	},
	{
		name: "HEADERS on an even stream", source: "RFC 9113 5.1.1",
		send: func(h *h2client) { h.headers(2, true, get2()...); h.awaitEnd() },
		want: all(untouched, protocolError),
	},
	{
		name: "HEADERS on an older stream", source: "RFC 9113 5.1.1",
		send: func(h *h2client) {
			h.headers(5, true, get2()...)
			h.headers(3, true, request2("GET", "/smuggled")...)
			h.awaitEnd()
		},
		want: protocolError,
	},
	{
		name: "DATA on an idle stream", source: "RFC 9113 5.1",
		send: func(h *h2client) { h.data(1, true, hidden); h.awaitEnd() },
		want: all(untouched, protocolError),
	},
	{
		name: "RST_STREAM on an idle stream", source: "RFC 9113 6.4",
		send: func(h *h2client) { h.reset(1, http2.ErrCodeCancel); h.awaitEnd() },
		want: protocolError,
	},
	{
		name: "WINDOW_UPDATE on an idle stream", source: "RFC 9113 5.1",
		send: func(h *h2client) { h.write(func() error { return h.fr.WriteWindowUpdate(1, 1) }); h.awaitEnd() },
		want: protocolError,
	},
	{
		name: "CONTINUATION out of nothing", source: "RFC 9113 6.10",
		send: func(h *h2client) {
			h.frame(http2.FrameContinuation, flagEndHeaders, 1, h.block(get2()...))
			h.awaitEnd()
		},
		want: all(untouched, protocolError),
	},
	{
		name: "DATA between HEADERS and CONTINUATION", source: "RFC 9113 4.3",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, 0, 1, h.block(get2()...))
			h.data(1, false, hidden)
			h.awaitEnd()
		},
		want: all(untouched, protocolError),
	},
	{
		name: "PING between HEADERS and CONTINUATION", source: "RFC 9113 4.3",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, 0, 1, h.block(get2()...))
			h.frame(http2.FramePing, 0, 0, make([]byte, 8))
			h.awaitEnd()
		},
		want: all(untouched, protocolError),
	},
	{
		name: "another stream's HEADERS in between", source: "RFC 9113 4.3",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, 0, 1, h.block(get2()...))
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 3, h.block(request2("GET", "/smuggled")...))
			h.awaitEnd()
		},
		want: all(untouched, protocolError),
	},
	{
		name: "CONTINUATION of another stream", source: "RFC 9113 6.10",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, 0, 1, h.block(get2()...))
			h.frame(http2.FrameContinuation, flagEndHeaders, 3, nil)
			h.awaitEnd()
		},
		want: all(untouched, protocolError),
	},
	{
		name: "a head that is not ended", source: "VU#421644; 10 s at most, or 64 KiB",
		send: func(h *h2client) { h.frame(http2.FrameHeaders, flagEndStream, 1, h.block(get2()...)); h.awaitEnd() },
		want: all(untouched, closed),
	},
	{
		name: "a head in pieces", source: "RFC 9113 4.3: ordinary",
		send: func(h *h2client) {
			h.await(1)
			block := h.block(get2()...)
			h.frame(http2.FrameHeaders, flagEndStream, 1, block[:3])
			h.frame(http2.FrameContinuation, 0, 1, block[3:9])
			h.frame(http2.FrameContinuation, 0, 1, nil)
			h.frame(http2.FrameContinuation, flagEndHeaders, 1, block[9:])
		},
		want: all(passed("GET /a"), open),
	},
	{
		name: "a second head", source: "RFC 9113 8.1: not a trailer, for it does not end the stream",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a")...)
			h.headers(1, false, request2("GET", "/smuggled")...)
		},
		want: cutOff,
	},
	{
		name: "DATA behind the end", source: "RFC 9113 5.1: half-closed (remote)",
		send: func(h *h2client) {
			h.headers(1, true, request2("POST", "/a")...)
			h.data(1, true, hidden)
			h.headers(3, true, get2()...)
		},
		want: onlyWhole("POST /a", "GET /a"),
	},
	{
		name: "HEADERS behind the end", source: "RFC 9113 5.1",
		send: func(h *h2client) {
			h.headers(1, true, request2("POST", "/a")...)
			h.headers(1, true, request2("GET", "/smuggled")...)
		},
		want: onlyWhole("POST /a"),
	},
	{
		name: "HEADERS on a closed stream", source: "RFC 9113 5.1: STREAM_CLOSED",
		send: func(h *h2client) {
			h.headers(1, true, get2()...)
			h.awaitUntil(patience, func() bool { return h.replies[1].whole })
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 1, h.block(request2("GET", "/smuggled")...))
			h.awaitEnd()
		},
		want: all(exactly("GET /a"), h2code(http2.ErrCodeStreamClosed, http2.ErrCodeProtocol)),
	},
	{
		name: "HEADERS behind a reset", source: "RFC 9113 5.1",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a")...)
			h.reset(1, http2.ErrCodeCancel)
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 1, h.block(request2("GET", "/smuggled")...))
			h.headers(3, true, request2("GET", "/next")...)
		},
		want: onlyWhole("GET /next"),
	},
	{
		name: "DATA behind a reset", source: "RFC 9113 5.1: ignored, or an error",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a")...)
			h.reset(1, http2.ErrCodeCancel)
			h.data(1, true, hidden)
			h.headers(3, true, request2("GET", "/next")...)
		},
		want: onlyWhole("GET /next"),
	},
	{
		name: "a stream that depends on itself", source: "RFC 7540 5.3.1; of no meaning in RFC 9113",
		send: func(h *h2client) {
			h.await(1)
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream|flagPriority, 1, append([]byte{0, 0, 0, 1, 0}, h.block(get2()...)...))
		},
		want: anyOf(passed("GET /a"), refusedOrReset(400)),
	},
	{
		name: "padding longer than the frame", source: "RFC 9113 6.1",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream|flagPadded, 1, append([]byte{255}, h.block(get2()...)...))
			h.awaitEnd()
		},
		want: all(untouched, protocolError),
	},
	{
		name: "padded DATA", source: "RFC 9113 6.1: ordinary",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a", "content-length", "5")...)
			h.frame(http2.FrameData, flagEndStream|flagPadded, 1, append([]byte{3}, "hello\x00\x00\x00"...))
		},
		want: all(passed("POST /a hello"), open),
	},
	{
		name: "a frame of 16 MiB", source: "RFC 9113 4.2",
		send: func(h *h2client) { h.raw([]byte("\xff\xff\xff\x00\x00\x00\x00\x00\x01")); h.awaitEnd() },
		want: all(untouched, frameSize),
	},
	{
		name: "a frame over the maximum", source: "RFC 9113 4.2",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a")...)
			h.awaitUntil(patience, func() bool { return h.frames > 0 })
			h.frame(http2.FrameData, flagEndStream, 1, make([]byte, h.frames+1))
			h.awaitEnd()
		},
		want: all(cutOff, frameSize),
	},
	{
		name: "a PING of seven bytes", source: "RFC 9113 6.7",
		send: func(h *h2client) { h.frame(http2.FramePing, 0, 0, make([]byte, 7)); h.awaitEnd() },
		want: frameSize,
	},
	{
		name: "a PING on a stream", source: "RFC 9113 6.7",
		send: func(h *h2client) { h.frame(http2.FramePing, 0, 1, make([]byte, 8)); h.awaitEnd() },
		want: protocolError,
	},
	{
		name: "SETTINGS of five bytes", source: "RFC 9113 6.5",
		send: func(h *h2client) { h.frame(http2.FrameSettings, 0, 0, make([]byte, 5)); h.awaitEnd() },
		want: frameSize,
	},
	{
		name: "an acknowledgement with content", source: "RFC 9113 6.5",
		send: func(h *h2client) { h.frame(http2.FrameSettings, 1, 0, make([]byte, 6)); h.awaitEnd() },
		want: frameSize,
	},
	{
		name: "SETTINGS on a stream", source: "RFC 9113 6.5",
		send: func(h *h2client) { h.frame(http2.FrameSettings, 0, 1, nil); h.awaitEnd() },
		want: protocolError,
	},
	badSetting("ENABLE_PUSH of 2", http2.SettingEnablePush, 2, protocolError),
	badSetting("a window over 2^31-1", http2.SettingInitialWindowSize, 1<<31, flowControl),
	badSetting("frames of one byte", http2.SettingMaxFrameSize, 1, protocolError),
	badSetting("frames of 16 MiB", http2.SettingMaxFrameSize, 1<<24, protocolError),
	{
		name: "an unknown setting and an unknown frame", source: "RFC 9113 5.5, 6.5.2: MUST be ignored",
		send: func(h *h2client) {
			h.write(func() error { return h.fr.WriteSettings(http2.Setting{ID: 0xff, Val: 7}) })
			h.frame(0xee, 0xff, 0, []byte("evil"))
			h.headers(1, true, get2()...)
		},
		want: all(passed("GET /a"), open),
	},
	{
		name: "WINDOW_UPDATE of nothing on the connection", source: "RFC 9113 6.9",
		send: func(h *h2client) { h.frame(http2.FrameWindowUpdate, 0, 0, make([]byte, 4)); h.awaitEnd() },
		want: protocolError,
	},
	{
		name: "WINDOW_UPDATE of three bytes", source: "RFC 9113 6.9",
		send: func(h *h2client) { h.frame(http2.FrameWindowUpdate, 0, 0, make([]byte, 3)); h.awaitEnd() },
		want: frameSize,
	},
	{
		name: "a connection window over 2^31-1", source: "RFC 9113 6.9.1",
		send: func(h *h2client) { h.frame(http2.FrameWindowUpdate, 0, 0, uint32s(1<<31-1)); h.awaitEnd() },
		want: flowControl,
	},
	{
		name: "a stream window over 2^31-1", source: "RFC 9113 6.9.1",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a")...)
			h.frame(http2.FrameWindowUpdate, 0, 1, uint32s(1<<31-1))
		},
		want: cutOff,
	},
	{
		name: "a window that settings make overflow", source: "RFC 9113 6.9.2",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a")...)
			h.frame(http2.FrameWindowUpdate, 0, 1, uint32s(1<<30))
			h.write(func() error {
				return h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
			})
			h.awaitEnd()
		},
		want: all(cutOff, flowControl),
	},
	{
		name: "more DATA than the window", source: "RFC 9113 6.9.1",
		// An origin that does not answer keeps the window shut.
		answer: hold,
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a", "content-length", "100000000")...)
			for range 400 {
				h.data(1, false, strings.Repeat("a", 16000))
			}
			h.awaitUntil(patience, func() bool { return h.ended || h.replies[1].reset })
		},
		want: anyOf(all(cutOff, flowControl), cutOff),
	},
	{
		name: "PUSH_PROMISE by a client", source: "RFC 9113 8.4: MUST be an error",
		send: func(h *h2client) { h.frame(http2.FramePushPromise, flagEndHeaders, 1, uint32s(2)); h.awaitEnd() },
		want: all(untouched, protocolError),
	},
	{
		name: "a block that does not decode", source: "RFC 9113 4.3: COMPRESSION_ERROR",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff})
			h.awaitEnd()
		},
		want: all(untouched, h2code(http2.ErrCodeCompression, http2.ErrCodeProtocol)),
	},
	{
		name: "an index beyond the table", source: "RFC 7541 2.3.3",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 1, append(h.block(get2()...), 0xfe))
			h.awaitEnd()
		},
		want: all(untouched, h2code(http2.ErrCodeCompression, http2.ErrCodeProtocol)),
	},
	{
		name: "a table over the maximum", source: "RFC 7541 6.3",
		send: func(h *h2client) {
			h.frame(http2.FrameHeaders, flagEndHeaders|flagEndStream, 1, append([]byte{0x3f, 0xff, 0xff, 0xff, 0x07}, h.block(get2()...)...))
			h.awaitEnd()
		},
		want: all(untouched, h2code(http2.ErrCodeCompression, http2.ErrCodeProtocol)),
	},
	{
		name: "GOAWAY on a stream", source: "RFC 9113 6.8",
		send: func(h *h2client) { h.frame(http2.FrameGoAway, 0, 1, make([]byte, 8)); h.awaitEnd() },
		want: protocolError,
	},
	{
		name: "more streams than allowed", source: "RFC 9113 5.1.2; held at the origin",
		answer: hold,
		send: func(h *h2client) {
			for i := range uint32(300) {
				h.headers(2*i+1, true, request2("GET", fmt.Sprintf("/n%d", i))...)
			}
		},
		want: func(s *seen) error {
			if s.atOnce > 110 {
				return fmt.Errorf("%d requests of one connection at the origin at once", s.atOnce)
			}
			return nil
		},
	},
}

// badSetting is a SETTINGS frame with a value out of its range.
func badSetting(name string, id http2.SettingID, value uint32, want outcome) h2case {
	return h2case{
		name: name, source: "RFC 9113 6.5.2",
		send: func(h *h2client) {
			h.write(func() error { return h.fr.WriteSettings(http2.Setting{ID: id, Val: value}) })
			h.awaitEnd()
		},
		want: all(untouched, want),
	}
}

// onlyWhole: no other request than these reached the origin; each may be
// missing or cut when the connection ended on the fault behind it.
func onlyWhole(lines ...string) outcome {
	return func(s *seen) error {
		for _, r := range s.requests {
			ok := r.cut
			for _, line := range lines {
				ok = ok || r.line() == line
			}
			if !ok {
				return fmt.Errorf("the origin read %q", r.line())
			}
		}
		return nil
	}
}

func uint32s(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// h2Attacks runs each case on a connection of its own.
func h2Attacks(family string, cases []h2case) (out []attack) {
	for i, c := range cases {
		out = append(out, attack{
			name: family + "/" + c.name, source: c.source, cached: i%2 == 1, answer: c.answer, want: c.want,
			send: func(n *node, host string) (*seen, error) {
				h, err := dialH2(n, host, c.settings...)
				if err != nil {
					return nil, err
				}
				c.send(h)
				return h.finish(), nil
			},
		})
	}
	return out
}

// prefaceCases are connections that agreed on HTTP/2 and begin with
// something else. They are sent as they are.
var prefaceCases = []struct{ name, source, text string }{
	{"HTTP 1.1", "RFC 9113 3.4: MUST be a connection error", hidden},
	{"a wrong preface", "RFC 9113 3.4", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"},
	{"half a preface", "RFC 9113 3.4; CVE-2007-6750", "PRI * HTTP"},
	{"no SETTINGS", "RFC 9113 3.4: the first frame", http2.ClientPreface + "\x00\x00\x08\x06\x00\x00\x00\x00\x00abcdefgh"},
	{"an acknowledgement first", "RFC 9113 3.4", http2.ClientPreface + "\x00\x00\x00\x04\x01\x00\x00\x00\x00"},
	{"HEADERS first", "RFC 9113 3.4", http2.ClientPreface + "\x00\x00\x01\x01\x05\x00\x00\x00\x01\x82"},
}

// prefaceAttacks sends each, and waits for the end.
func prefaceAttacks() (out []attack) {
	for _, c := range prefaceCases {
		out = append(out, attack{
			name: "h2preface/" + c.name, source: c.source, want: all(untouched, closed),
			send: func(n *node, host string) (*seen, error) {
				h, err := connectH2(n, host)
				if err != nil {
					return nil, err
				}
				h.raw([]byte(h.texts.Replace(c.text)))
				h.reader.Go(h.read)
				h.awaitEnd()
				return h.finish(), nil
			},
		})
	}
	return out
}
