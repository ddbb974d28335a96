package attack

import (
	"fmt"
	"strings"

	"github.com/quic-go/quic-go"
)

// h3StateCases are about streams that do not end as they should, and about
// clients that do not come on.
var h3StateCases = []h3case{
	{
		name: "content that is reset", source: "RFC 9114 4.1.1: the origin must not take it for whole",
		send: func(h *h3client) {
			str := h.stream(h3post(h)+h3frame(h3Data, "hello"), false)
			h.forget(str)
			h.pause()
			if str != nil {
				str.CancelWrite(quic.StreamErrorCode(h3RequestCancelled))
			}
			h.request(request2("GET", "/next")...)
		},
		want: all(onlyWhole("GET /next"), answered(200)),
	},
	{
		name: "content that ends in the middle of a frame's head", source: "RFC 9114 7.1: H3_FRAME_ERROR",
		send: func(h *h3client) { h.stream(h3post(h)+h3frame(h3Data, "hello")+"\x40", true) },
		want: cutOff,
	},
	{
		name: "an answer that is not wanted", source: "RFC 9114 4.1.1; RFC 9000 3.5: STOP_SENDING", answer: large(1 << 20),
		send: func(h *h3client) {
			for i := range 20 {
				str := h.stream(h3frame(h3Headers, h.section(request2("GET", fmt.Sprintf("/n%d", i))...)), true)
				h.forget(str)
				if str != nil {
					str.CancelRead(quic.StreamErrorCode(h3RequestCancelled))
				}
			}
			h.request(request2("GET", "/next")...)
		},
		want: all(answered(200), open),
	},
	{
		name: "a head that stops", source: "CVE-2007-6750 in HTTP/3",
		send: func(h *h3client) { h.stream(h3post(h)[:25], false) },
		want: all(untouched, refusedOrReset(400, 408)),
	},
	{
		name: "a stream that never begins", source: "CVE-2007-6750 in HTTP/3",
		send: func(h *h3client) { h.stream("\x01", false) },
		want: all(untouched, refusedOrReset(400, 408)),
	},
	{
		name: "content that stops", source: "CVE-2007-6750 in HTTP/3",
		send: func(h *h3client) { h.stream(h3post(h, "content-length", "100")+h3frame(h3Data, "hello"), false) },
		want: cutOff,
	},
	{
		name: "content that crawls", source: "CVE-2007-6750 in HTTP/3",
		send: func(h *h3client) {
			str := h.stream(h3post(h), false)
			for range 40 {
				h.more(str, h3frame(h3Data, "a"), false)
				h.pause()
			}
		},
		want: cutOff,
	},
	{
		name: "a reader that does not read", source: "CVE-2019-9517 in HTTP/3", answer: large(1 << 20), window: 2000,
		send: func(h *h3client) {
			for i := range 20 {
				h.unread(h3frame(h3Headers, h.section(request2("GET", fmt.Sprintf("/n%d", i))...)))
			}
			for range 50 { // longer than the node's patience
				h.pause()
			}
		},
		want: cut,
	},
	{
		name: "long forms of short numbers", source: "RFC 9000 16: ordinary",
		send: func(h *h3client) {
			section := h.section(get2()...)
			h.stream("\x80\x00\x00\x01\x80\x00"+string([]byte{byte(len(section) >> 8), byte(len(section))})+section, true)
		},
		want: all(passed("GET /a"), open),
	},
	{
		name: "long forms on the control stream", source: "RFC 9000 16: ordinary", bare: true,
		send: func(h *h3client) {
			h.rawUni("\x40\x00" + "\x40\x04\x40\x00")
			h.request(get2()...)
		},
		want: all(passed("GET /a"), open),
	},
	{
		name: "priorities", source: "RFC 9218: ordinary",
		send: func(h *h3client) {
			h.request(get2("priority", "u=0, i")...)
			h.request(request2("GET", "/b", "priority", "evil;;;==")...)
		},
		want: all(answered(200, 200), open),
	},
	{
		name: "many requests on one connection", source: "RFC 9114 4.1: ordinary",
		send: func(h *h3client) {
			for i := range 500 {
				h.request(request2("GET", fmt.Sprintf("/n%d", i%10))...)
				if i%20 == 0 {
					h.settled()
				}
			}
		},
		want: all(open, func(s *seen) error {
			for _, r := range s.replies {
				if r.status != 200 || !r.whole {
					return fmt.Errorf("stream %d was answered %d", r.stream, r.status)
				}
			}
			return nil
		}),
	},
	{
		name: "a large upload", source: "RFC 9114 4.1: ordinary",
		send: func(h *h3client) {
			text := h3post(h)
			for range 64 {
				text += h3frame(h3Data, strings.Repeat("u", 16<<10))
			}
			h.stream(text, true)
		},
		want: all(answered(200), func(s *seen) error {
			if len(s.requests) != 1 || len(s.requests[0].body) != 1<<20 {
				return fmt.Errorf("the origin read another upload")
			}
			return nil
		}),
	},
}
