package attack

import (
	"fmt"
	"strings"

	"github.com/quic-go/quic-go"
)

// Error codes of HTTP/3 and QPACK (RFC 9114, 8.1; RFC 9204, 6).
const (
	h3NoError          = 0x100
	h3GeneralProtocol  = 0x101
	h3StreamCreation   = 0x103
	h3ClosedCritical   = 0x104
	h3FrameUnexpected  = 0x105
	h3FrameError       = 0x106
	h3IDError          = 0x108
	h3SettingsError    = 0x109
	h3MissingSettings  = 0x10a
	h3RequestCancelled = 0x10c
	qpackDecompression = 0x200
	qpackEncoderStream = 0x201
	qpackDecoderStream = 0x202
)

// h3case is a case of HTTP/3's own framing.
type h3case struct {
	name, source string
	answer       func(*request) answer
	// bare sends no control stream and no settings first.
	bare bool
	// window is how much of an answer the client has room for, of each
	// stream, in bytes; 0 is plenty.
	window uint64
	send   func(*h3client)
	want   outcome
}

// h3code: the connection ended with one of these codes, or with
// H3_GENERAL_PROTOCOL_ERROR, which RFC 9114, 8, allows in the place of any.
func h3code(codes ...uint64) outcome {
	return func(s *seen) error {
		if !s.ended {
			return fmt.Errorf("the connection is open")
		}
		for _, c := range append(codes, h3GeneralProtocol) {
			if s.code == c {
				return nil
			}
		}
		return fmt.Errorf("the connection ended with code %#x, want one of %#x", s.code, codes)
	}
}

// h3post is a whole POST up to its content.
func h3post(h *h3client, more ...string) string {
	return h3frame(h3Headers, h.section(request2("POST", "/a", more...)...))
}

// h3Cases break the rules of HTTP/3's streams and frames.
var h3Cases = []h3case{
	{
		name: "DATA before HEADERS", source: "RFC 9114 4.1: H3_FRAME_UNEXPECTED",
		send: func(h *h3client) { h.stream(h3frame(h3Data, hidden), true); h.awaitEnd() },
		want: all(untouched, h3code(h3FrameUnexpected)),
	},
	{
		name: "SETTINGS on a request stream", source: "RFC 9114 7.2.4",
		send: func(h *h3client) { h.stream(h3frame(h3Settings, ""), true); h.awaitEnd() },
		want: all(untouched, h3code(h3FrameUnexpected)),
	},
	{
		name: "GOAWAY on a request stream", source: "RFC 9114 7.2.6",
		send: func(h *h3client) { h.stream(h3frame(h3GoAway, varint(0)), true); h.awaitEnd() },
		want: all(untouched, h3code(h3FrameUnexpected)),
	},
	{
		name: "MAX_PUSH_ID on a request stream", source: "RFC 9114 7.2.7",
		send: func(h *h3client) { h.stream(h3frame(h3MaxPushID, varint(0)), true); h.awaitEnd() },
		want: all(untouched, h3code(h3FrameUnexpected)),
	},
	{
		name: "PUSH_PROMISE by a client", source: "RFC 9114 7.2.5",
		send: func(h *h3client) { h.stream(h3frame(h3PushPromise, "\x00\x00\x00"), true); h.awaitEnd() },
		want: all(untouched, h3code(h3FrameUnexpected)),
	},
	{
		name: "DATA behind the trailer", source: "RFC 9114 4.1",
		send: func(h *h3client) {
			h.stream(h3post(h)+h3frame(h3Data, "a")+h3frame(h3Headers, h.section("x", "y"))+h3frame(h3Data, hidden), true)
			h.awaitEnd()
		},
		want: all(cutOff, h3code(h3FrameUnexpected)),
	},
	{
		name: "a second trailer", source: "RFC 9114 4.1",
		send: func(h *h3client) {
			trailer := h3frame(h3Headers, h.section("x", "y"))
			h.stream(h3post(h)+h3frame(h3Data, "a")+trailer+trailer, true)
			h.awaitEnd()
		},
		want: all(cutOff, h3code(h3FrameUnexpected)),
	},
	{
		name: "a stream without a head", source: "RFC 9114 4.1: H3_REQUEST_INCOMPLETE",
		send: func(h *h3client) { h.stream("", true) },
		want: all(untouched, refusedOrReset(400)),
	},
	{
		name: "a head that is cut off", source: "RFC 9114 7.1: H3_FRAME_ERROR",
		send: func(h *h3client) { h.stream(h3post(h)[:20], true) },
		want: all(untouched, refusedOrReset(400)),
	},
	{
		name: "content that is cut off", source: "RFC 9114 7.1: H3_FRAME_ERROR",
		send: func(h *h3client) { h.stream(h3post(h)+varint(h3Data)+varint(100)+"hello", true) },
		want: cutOff,
	},
	{
		name: "a frame from HTTP/2", source: "RFC 9114 7.2.8: H3_FRAME_UNEXPECTED",
		send: func(h *h3client) { h.stream(h3post(h)+h3frame(0x2, "")+h3frame(h3Data, "a"), true); h.awaitEnd() },
		want: all(cutOff, h3code(h3FrameUnexpected)),
	},
	{
		name: "another frame from HTTP/2", source: "RFC 9114 7.2.8",
		send: func(h *h3client) { h.stream(h3frame(0x9, "")+h3post(h), true); h.awaitEnd() },
		want: all(untouched, h3code(h3FrameUnexpected)),
	},
	{
		name: "reserved frames everywhere", source: "RFC 9114 7.2.8: no meaning, ordinary",
		send: func(h *h3client) {
			grease := h3frame(h3Reserved, "evil")
			h.stream(grease+h3post(h)+grease+h3frame(h3Data, "hello")+grease+h3frame(h3Data, "")+grease, true)
		},
		want: all(passed("POST /a hello"), open, lacking("evil")),
	},
	{
		name: "unknown streams", source: "RFC 9114 9: MUST be ignored or refused",
		send: func(h *h3client) {
			for i := range uint64(3) {
				h.uni(h3Reserved+0x1f*i, "evil")
			}
			h.request(get2()...)
		},
		want: all(passed("GET /a"), open),
	},
	{
		name: "a control stream that does not begin with settings", source: "RFC 9114 6.2.1", bare: true,
		send: func(h *h3client) { h.uni(h3ControlStream, h3frame(h3GoAway, varint(0))); h.awaitEnd() },
		want: h3code(h3MissingSettings),
	},
	{
		name: "two control streams", source: "RFC 9114 6.2.1: H3_STREAM_CREATION_ERROR",
		send: func(h *h3client) { h.uni(h3ControlStream, h3frame(h3Settings, "")); h.awaitEnd() },
		want: h3code(h3StreamCreation),
	},
	{
		name: "the control stream closed", source: "RFC 9114 6.2.1: H3_CLOSED_CRITICAL_STREAM", bare: true,
		send: func(h *h3client) {
			if str := h.uni(h3ControlStream, h3frame(h3Settings, "")); str != nil {
				_ = str.Close()
			}
			h.awaitEnd()
		},
		want: h3code(h3ClosedCritical),
	},
	{
		name: "the control stream reset", source: "RFC 9114 6.2.1", bare: true,
		send: func(h *h3client) {
			str := h.uni(h3ControlStream, h3frame(h3Settings, ""))
			h.request(get2()...)
			h.settled() // the stream was read by now
			if str != nil {
				str.CancelWrite(quic.StreamErrorCode(h3NoError))
			}
			h.awaitEnd()
		},
		want: h3code(h3ClosedCritical),
	},
	{
		name: "a push stream by a client", source: "RFC 9114 6.2.2: H3_STREAM_CREATION_ERROR",
		send: func(h *h3client) { h.uni(h3PushStream, varint(0)); h.awaitEnd() },
		want: h3code(h3StreamCreation),
	},
	onControl("DATA", "RFC 9114 7.2.1", h3frame(h3Data, "evil"), h3FrameUnexpected),
	onControl("HEADERS", "RFC 9114 7.2.2", h3frame(h3Headers, "\x00\x00"), h3FrameUnexpected),
	onControl("PUSH_PROMISE", "RFC 9114 7.2.5", h3frame(h3PushPromise, "\x00"), h3FrameUnexpected),
	onControl("SETTINGS again", "RFC 9114 7.2.4", h3frame(h3Settings, ""), h3FrameUnexpected),
	onControl("a frame from HTTP/2", "RFC 9114 7.2.8", h3frame(0x6, "abcdefgh"), h3FrameUnexpected),
	onControl("CANCEL_PUSH of no push", "RFC 9114 7.2.3", h3frame(h3CancelPush, varint(7)), h3IDError),
	onControl("MAX_PUSH_ID that falls", "RFC 9114 7.2.7", h3frame(h3MaxPushID, varint(7))+h3frame(h3MaxPushID, varint(3)), h3IDError),
	onControl("a GOAWAY that rises", "RFC 9114 5.2", h3frame(h3GoAway, varint(4))+h3frame(h3GoAway, varint(8)), h3IDError),
	onControl("GOAWAY with a tail", "RFC 9114 7.1: H3_FRAME_ERROR", h3frame(h3GoAway, varint(4)+"evil"), h3FrameError),
	badH3Settings("a setting of HTTP/2", "RFC 9114 7.2.4.1", varint(0x2)+varint(1), h3SettingsError),
	badH3Settings("a setting twice", "RFC 9114 7.2.4", varint(0x6)+varint(1)+varint(0x6)+varint(1), h3SettingsError),
	badH3Settings("a setting without a value", "RFC 9114 7.1", varint(0x6), h3FrameError, h3SettingsError),
	badH3Settings("extended CONNECT of 2", "RFC 8441 3; RFC 9220", varint(0x8)+varint(2), h3SettingsError),
	{
		name: "unknown settings", source: "RFC 9114 7.2.4: ignored, ordinary", bare: true,
		send: func(h *h3client) {
			h.uni(h3ControlStream, h3frame(h3Settings, varint(0x1f*5+0x21)+varint(7)+varint(0x4242)+varint(1)))
			h.request(get2()...)
		},
		want: all(passed("GET /a"), open),
	},
	{
		name: "settings of 64 KiB", source: "RFC 9114 10.5", bare: true,
		send: func(h *h3client) {
			var b strings.Builder
			for i := range uint64(12000) {
				b.WriteString(varint(0x10000+i) + varint(1))
			}
			h.uni(h3ControlStream, h3frame(h3Settings, b.String()))
			h.awaitEnd()
		},
		want: closed,
	},
	{
		name: "a request before the settings", source: "RFC 9114 3.3: ordinary", bare: true,
		send: func(h *h3client) {
			h.request(get2()...)
			h.uni(h3ControlStream, h3frame(h3Settings, ""))
		},
		want: all(passed("GET /a"), open),
	},

	{
		name: "an insertion over the table", source: "RFC 9204 3.2.2: QPACK_ENCODER_STREAM_ERROR",
		send: func(h *h3client) {
			h.uni(h3EncoderStream, string(prefixed(prefixed(nil, 0x40, 5, "x"), 0, 7, strings.Repeat("y", 64<<10))))
			h.awaitEnd()
		},
		want: h3code(qpackEncoderStream),
	},
	{
		name: "a capacity over the maximum", source: "RFC 9204 4.3.1",
		send: func(h *h3client) {
			h.uni(h3EncoderStream, string(prefixedInt(nil, 0x20, 5, 1<<30)))
			h.awaitEnd()
		},
		want: h3code(qpackEncoderStream),
	},
	{
		name: "a duplicate of nothing", source: "RFC 9204 4.3.4",
		send: func(h *h3client) { h.uni(h3EncoderStream, string(prefixedInt(nil, 0, 5, 9))); h.awaitEnd() },
		want: h3code(qpackEncoderStream),
	},
	{
		name: "an acknowledgement of nothing", source: "RFC 9204 4.4.1: QPACK_DECODER_STREAM_ERROR",
		send: func(h *h3client) { h.uni(h3DecoderStream, string(prefixedInt(nil, 0x80, 7, 4))); h.awaitEnd() },
		want: h3code(qpackDecoderStream),
	},
	{
		name: "an insert count of nothing", source: "RFC 9204 4.4.3",
		send: func(h *h3client) { h.uni(h3DecoderStream, "\x00"); h.awaitEnd() },
		want: h3code(qpackDecoderStream),
	},
	{
		name: "two encoder streams", source: "RFC 9204 4.2",
		send: func(h *h3client) { h.uni(h3EncoderStream, ""); h.uni(h3EncoderStream, ""); h.awaitEnd() },
		want: h3code(h3StreamCreation),
	},
	{
		name: "the encoder stream closed", source: "RFC 9204 4.2: H3_CLOSED_CRITICAL_STREAM",
		send: func(h *h3client) {
			if str := h.uni(h3EncoderStream, ""); str != nil {
				_ = str.Close()
			}
			h.awaitEnd()
		},
		want: h3code(h3ClosedCritical),
	},
	badSection("an index beyond the static table", "RFC 9204 3.1", "\x00\x00"+string(prefixedInt(nil, 0xc0, 6, 99))),
	badSection("an index into an empty table", "RFC 9204 2.2.3", "\x00\x00\x80"),
	badSection("an insert count that never comes", "RFC 9204 2.1.2: more blocked streams than allowed", "\xff\x7f\x00\x80"),
	badSection("a section of one byte", "RFC 9204 4.5.1", "\x00"),
	badSection("an integer without an end", "RFC 9204 4.1.1", "\x00\x00\x27\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	badSection("a string longer than the section", "RFC 9204 4.1.2", "\x00\x00\x27\xff\xff\x7fx"),
	badSection("Huffman code with EOS", "RFC 7541 5.2", "\x00\x00\x2c\xff\xff\xff\xff\x01y"),
	{
		name: "a section of 1 MiB", source: "RFC 9114 4.2.2; CVE-2025-64702: size before reading",
		send: func(h *h3client) {
			h.stream(h3frame(h3Headers, h.section(get2("x", strings.Repeat("y", 1<<20))...)), true)
		},
		want: refusedOrReset(431),
	},
	{
		name: "a section that says it is huge", source: "RFC 9114 10.5",
		send: func(h *h3client) { h.stream(varint(h3Headers)+varint(1<<40)+"\x00\x00", false) },
		want: refusedOrReset(400, 431),
	},
	{
		name: "a trailer of 1 MiB", source: "CVE-2026-40898: QPACK expansion in trailers",
		send: func(h *h3client) {
			h.stream(h3post(h)+h3frame(h3Data, "a")+h3frame(h3Headers, h.section("x", strings.Repeat("y", 1<<20))), true)
		},
		want: cutOff,
	},
	{
		name: "a section of static references", source: "CVE-2025-64702: one byte a field",
		send: func(h *h3client) {
			h.stream(h3frame(h3Headers, h.section(get2()...)+strings.Repeat(string(prefixedInt(nil, 0xc0, 6, 29)), 30000)), true)
		},
		want: refusedOrReset(400, 431),
	},

	{
		name: "rapid reset", source: "CVE-2023-44487 in HTTP/3", answer: hold,
		send: func(h *h3client) {
			for i := range 1000 {
				if h.qc.Context().Err() != nil {
					break
				}
				str := h.stream(h3frame(h3Headers, h.section(request2("GET", fmt.Sprintf("/n%d", i))...)), false)
				h.forget(str)
				if str != nil {
					str.CancelWrite(quic.StreamErrorCode(h3RequestCancelled))
					str.CancelRead(quic.StreamErrorCode(h3RequestCancelled))
				}
			}
			h.request(request2("GET", "/probe")...)
		},
		want: all(closed, atMost(300)),
	},
	{
		name: "malformed requests in masses", source: "CVE-2025-8671 in HTTP/3",
		send: func(h *h3client) {
			bad := h3frame(h3Headers, h.section(get2("connection", "close")...))
			for range 1000 {
				if h.qc.Context().Err() != nil {
					break
				}
				h.forget(h.stream(bad, true))
			}
			h.request(request2("GET", "/probe")...)
		},
		want: all(untouchedBut("/probe"), closed),
	},
	{
		name: "empty DATA in masses", source: "CVE-2019-9518 in HTTP/3",
		send: func(h *h3client) {
			str := h.stream(h3post(h), false)
			h.forget(str)
			for range 5 {
				h.more(str, strings.Repeat(h3frame(h3Data, ""), 2000), false)
			}
			h.request(request2("GET", "/probe")...)
		},
		want: cutOrHarmless,
	},
	{
		name: "reserved frames in masses", source: "RFC 9114 10.5",
		send: func(h *h3client) {
			str := h.stream("", false)
			h.forget(str)
			for range 5 {
				h.more(str, strings.Repeat(h3frame(h3Reserved, ""), 2000), false)
			}
			h.request(request2("GET", "/probe")...)
		},
		want: cutOrHarmless,
	},
	{
		name: "unknown streams in masses", source: "RFC 9114 6.2: more than are allowed wait",
		send: func(h *h3client) {
			for range 300 {
				if h.qc.Context().Err() != nil {
					break
				}
				if str := h.uni(h3Reserved, ""); str != nil {
					_ = str.Close()
				}
			}
			h.request(request2("GET", "/probe")...)
		},
		want: cutOrHarmless,
	},
}

// onControl is a frame that must not stand on a control stream.
func onControl(name, source, frame string, codes ...uint64) h3case {
	return h3case{
		name: name + " on the control stream", source: source, bare: true,
		send: func(h *h3client) { h.uni(h3ControlStream, h3frame(h3Settings, "")+frame); h.awaitEnd() },
		want: h3code(codes...),
	}
}

// badH3Settings are settings that end the connection.
func badH3Settings(name, source, settings string, codes ...uint64) h3case {
	return h3case{
		name: name, source: source, bare: true,
		send: func(h *h3client) { h.uni(h3ControlStream, h3frame(h3Settings, settings)); h.awaitEnd() },
		want: h3code(codes...),
	}
}

// badSection is a field section that does not decode, which ends the
// connection (RFC 9204, 2.2).
func badSection(name, source, section string) h3case {
	return h3case{
		name: name, source: source,
		send: func(h *h3client) { h.stream(h3frame(h3Headers, section), true); h.awaitEnd() },
		want: all(untouched, h3code(qpackDecompression)),
	}
}

// h3Attacks runs each case on a connection of its own.
func h3Attacks(family string, cases []h3case) (out []attack) {
	for i, c := range cases {
		out = append(out, attack{
			name: family + "/" + c.name, source: c.source, cached: i%2 == 1, answer: c.answer, want: c.want,
			send: func(n *node, host string) (*seen, error) {
				h, err := connectH3(n, host, c.window)
				if err != nil {
					return nil, err
				}
				if !c.bare {
					h.settings()
				}
				c.send(h)
				return h.finish(), nil
			},
		})
	}
	return out
}
