package attack

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// table encodes with HPACK's dynamic table: whoever does not decode a
// block reads the next one wrongly.
type table struct {
	buf bytes.Buffer
	enc *hpack.Encoder
	h   *h2client
}

func newTable(h *h2client) *table {
	t := &table{h: h}
	t.enc = hpack.NewEncoder(&t.buf)
	return t
}

// block encodes fields, in pairs.
func (t *table) block(fields ...string) []byte {
	t.buf.Reset()
	for i := 0; i+1 < len(fields); i += 2 {
		_ = t.enc.WriteField(hpack.HeaderField{Name: t.h.texts.Replace(fields[i]), Value: t.h.texts.Replace(fields[i+1])}) // to memory
	}
	return bytes.Clone(t.buf.Bytes())
}

// send opens a stream with a block of the table.
func (t *table) send(stream uint32, end bool, fields ...string) {
	flags := http2.Flags(flagEndHeaders)
	if end {
		flags |= flagEndStream
	}
	t.h.await(uint64(stream))
	t.h.frame(http2.FrameHeaders, flags, stream, t.block(fields...))
}

// learned are the fields that a block puts into the table, and that the
// next one refers to.
var learned = []string{"x-learned", "{m}", "cookie", "learned={m}"}

// lastLearned: the last request reached the origin with what an earlier
// block had put into the table; or the connection ended, which is safe.
func lastLearned(s *seen) error {
	if s.ended {
		return nil
	}
	want := texts(s.host).Replace("{m}")
	for _, r := range s.requests {
		if r.target == "/last" {
			if got := r.value("x-learned"); got != want || r.value("cookie") != "learned="+want {
				return fmt.Errorf("the origin read x-learned %q, cookie %q", got, r.value("cookie"))
			}
			return nil
		}
	}
	return fmt.Errorf("/last did not reach the origin and the connection lives")
}

// learnedFrom refers to the table after something that teaches it and is
// refused.
func learnedFrom(name, source string, teach func(t *table)) h2case {
	return h2case{
		name: "the table after " + name, source: source,
		send: func(h *h2client) {
			t := newTable(h)
			teach(t)
			t.send(101, true, append(request2("GET", "/last"), learned...)...)
		},
		want: lastLearned,
	}
}

// leak sends content that nobody wants, over and over, and then a large
// upload: the connection's window must not have been lost.
func leak(name, source string, waste func(h *h2client, i uint32)) h2case {
	return h2case{
		name: "the window after " + name, source: source,
		send: func(h *h2client) {
			h.awaitUntil(patience, func() bool { return h.frames > 0 })
			for i := range uint32(90) {
				waste(h, i)
			}
			h.headers(1001, false, request2("POST", "/last", "content-length", "2097152")...)
			if !h.upload(1001, 2<<20) {
				h.reset(1001, http2.ErrCodeCancel)
			}
		},
		want: func(s *seen) error {
			if s.ended {
				return nil // the waste was too much
			}
			for _, r := range s.requests {
				if r.target == "/last" && len(r.body) == 2<<20 {
					return nil
				}
			}
			return fmt.Errorf("the connection lives and an upload of 2 MiB did not get through")
		},
	}
}

// spend sends content within the connection's window, or as far as it
// goes.
func (h *h2client) spend(stream uint32, n int) {
	h.mu.Lock()
	part := min(n, h.windows[0])
	h.windows[0] -= part
	h.mu.Unlock()
	if part > 0 {
		h.data(stream, false, strings.Repeat("w", part))
	}
}

// stateCases are about what the two ends of a connection must agree on,
// after requests that were refused: a node that forgets to keep its books
// reads the next request wrongly, or stops.
var stateCases = []h2case{
	learnedFrom("a malformed request", "RFC 9113 4.3: MUST decode all blocks", func(t *table) {
		t.send(1, true, append(request2("GET", "/a", "Upper", "x"), learned...)...)
	}),
	learnedFrom("a malformed beginning", "RFC 9113 4.3", func(t *table) {
		t.send(1, true, append([]string{"connection", "close"}, append(request2("GET", "/a"), learned...)...)...)
	}),
	learnedFrom("too many fields", "RFC 9113 4.3, 10.5.1", func(t *table) {
		t.send(1, true, append(append(request2("GET", "/a"), repeated(300, "x", "y")...), learned...)...)
	}),
	learnedFrom("too large a head", "RFC 9113 10.5.1", func(t *table) {
		fields := append(request2("GET", "/a"), learned...)
		for i := range 15 {
			fields = append(fields, fmt.Sprintf("x-%d", i), strings.Repeat("y", 1000))
		}
		t.send(1, true, append(append(fields, repeated(14, "z", strings.Repeat("~", 1000))...), learned...)...)
	}),
	learnedFrom("a stranger's host", "RFC 9113 4.3", func(t *table) {
		t.send(1, true, append(append(changed(":authority", "evil.example"), "x", "{m}"), learned...)...)
	}),
	learnedFrom("a refused method", "RFC 9113 4.3", func(t *table) {
		t.send(1, true, append(request2("TRACE", "/a"), learned...)...)
	}),
	learnedFrom("a trailer", "RFC 9113 4.3", func(t *table) {
		t.send(1, false, request2("POST", "/a")...)
		t.h.data(1, false, "hello")
		t.send(1, true, learned...)
	}),
	learnedFrom("a malformed trailer", "RFC 9113 4.3", func(t *table) {
		t.send(1, false, request2("POST", "/a")...)
		t.h.data(1, false, "hello")
		t.send(1, true, append([]string{"connection", "close"}, learned...)...)
	}),
	learnedFrom("a head behind a reset", "RFC 9113 5.1: MUST decode although it is ignored", func(t *table) {
		t.send(1, false, request2("POST", "/a")...)
		t.h.reset(1, http2.ErrCodeCancel)
		t.send(1, true, learned...)
		t.h.forget(1)
	}),
	learnedFrom("a request that is too many", "RFC 9113 5.1.2: REFUSED_STREAM", func(t *table) {
		for i := range uint32(45) {
			t.send(2*i+1, false, request2("POST", fmt.Sprintf("/n%d", i))...)
		}
		t.send(95, true, append(request2("GET", "/a"), learned...)...)
		for i := range uint32(45) {
			t.h.reset(2*i+1, http2.ErrCodeCancel)
		}
	}),
	learnedFrom("a smaller table", "RFC 7541 4.2, 6.3", func(t *table) {
		t.enc.SetMaxDynamicTableSize(100)
		t.enc.SetMaxDynamicTableSize(4096)
		t.send(1, true, append(request2("GET", "/a"), learned...)...)
	}),
	leak("content for a stranger", "RFC 9113 6.9: credit for what is dropped", func(h *h2client, i uint32) {
		h.headers(2*i+1, false, append(changed(":authority", "evil.example"), "x", "{m}")...)
		h.forget(uint64(2*i + 1))
		h.spend(2*i+1, 12000)
		h.reset(2*i+1, http2.ErrCodeCancel)
	}),
	leak("content of a malformed request", "RFC 9113 6.9", func(h *h2client, i uint32) {
		h.headers(2*i+1, false, request2("POST", "/a", "connection", "close")...)
		h.forget(uint64(2*i + 1))
		h.spend(2*i+1, 12000)
	}),
	leak("content behind a reset", "RFC 9113 5.1, 6.9: counted although it is ignored", func(h *h2client, i uint32) {
		h.headers(2*i+1, false, request2("POST", fmt.Sprintf("/n%d", i))...)
		h.reset(2*i+1, http2.ErrCodeCancel)
		h.spend(2*i+1, 12000)
	}),
	leak("content of GET for what is stored", "RFC 9113 8.1: an answer before the content", func(h *h2client, i uint32) {
		h.headers(2*i+1, false, request2("GET", "/warm")...)
		h.forget(uint64(2*i + 1))
		h.spend(2*i+1, 12000)
		h.frame(http2.FrameData, flagEndStream, 2*i+1, nil)
	}),
	leak("content and a reset", "RFC 9113 6.9", func(h *h2client, i uint32) {
		h.headers(2*i+1, false, request2("POST", fmt.Sprintf("/n%d", i))...)
		h.spend(2*i+1, 12000)
		h.reset(2*i+1, http2.ErrCodeCancel)
	}),
	{
		name: "content that is reset", source: "RFC 9113 6.4: the origin must not take it for whole",
		send: func(h *h2client) {
			h.headers(1, false, request2("POST", "/a")...)
			h.data(1, false, "hello")
			h.awaitUntil(quiet, func() bool { return false })
			h.reset(1, http2.ErrCodeCancel)
			h.headers(3, true, request2("GET", "/next")...)
		},
		want: all(onlyWhole("GET /next"), answered(200)),
	},
	{
		name: "a small window", source: "RFC 9113 6.9: ordinary", settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 50}},
		send: func(h *h2client) { h.headers(1, true, get2()...) },
		want: all(passed("GET /a"), open),
	},
	{
		name: "no table", source: "RFC 7541 4.2: ordinary", settings: []http2.Setting{{ID: http2.SettingHeaderTableSize, Val: 0}},
		send: func(h *h2client) { h.headers(1, true, get2()...); h.headers(3, true, request2("GET", "/b")...) },
		want: all(answered(200, 200), open),
	},
	{
		name: "a window that shrinks below nothing", source: "RFC 9113 6.9.2: ordinary", answer: large(1 << 20),
		send: func(h *h2client) {
			h.headers(1, true, get2()...)
			h.write(func() error { return h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) })
			h.awaitUntil(quiet, func() bool { return false })
			h.write(func() error {
				return h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
			})
		},
		want: all(answered(200), func(s *seen) error {
			if n := len(s.replies[0].body); n != 1<<20 {
				return fmt.Errorf("%d bytes of 1 MiB", n)
			}
			return nil
		}),
	},
	{
		name: "many requests on one connection", source: "RFC 9113 5.1.1: ordinary",
		send: func(h *h2client) {
			for i := range uint32(500) {
				h.headers(2*i+1, true, request2("GET", fmt.Sprintf("/n%d", i%10))...)
				h.awaitUntil(patience, func() bool { return h.replies[uint64(2*i+1)].whole })
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
}
