package http3

import (
	"bytes"
	"slices"
	"testing"

	"github.com/quic-go/qpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// reference decodes with quic-go's decoder.
func reference(block []byte) (h exchange.Header, ok bool) {
	next := qpack.NewDecoder().Decode(block)
	for {
		f, err := next()
		if err != nil {
			return h, err.Error() == "EOF"
		}
		h.Add(f.Name, f.Value)
	}
}

// ours decodes with ours.
func ours(block []byte) (h exchange.Header, ok bool) {
	var d decoder
	if d.begin(block) != nil {
		return nil, false
	}
	for d.more() {
		name, value, err := d.next()
		if err != nil {
			return h, false
		}
		h.Add(name, value)
	}
	return h, true
}

// TestQPACK: what we encode, another decoder reads, and the other way round.
func TestQPACK(t *testing.T) {
	h := exchange.Header{
		field(":status", "200"), field(":status", "299"), field("content-type", "text/html; charset=utf-8"), field("age", "0"), field("age", "17"),
		field("x-empty", ""), field("x-long", string(bytes.Repeat([]byte("a~"), 5000))), field("cache-control", "public, max-age=31536000"), field("etag", `"é"`),
	}
	plain, small := appendSectionPrefix(nil), appendSectionPrefix(nil)
	for _, f := range h {
		plain, small = appendPlain(plain, f.Name, f.Value), appendField(small, f.Name, f.Value)
	}
	var theirs bytes.Buffer
	enc := qpack.NewEncoder(&theirs)
	for _, f := range h {
		if err := enc.WriteField(qpack.HeaderField{Name: f.Name, Value: f.Value}); err != nil {
			t.Fatal(err)
		}
	}
	for name, block := range map[string][]byte{"plain": plain, "small": small, "theirs": theirs.Bytes()} {
		if got, ok := reference(block); !ok || !slices.Equal(got, h) {
			t.Errorf("%s: the other decoder reads %v, %v", name, got, ok)
		}
		if got, ok := ours(block); !ok || !slices.Equal(got, h) {
			t.Errorf("%s: ours reads %v, %v", name, got, ok)
		}
	}
	if len(small) >= len(plain) || len(small) > theirs.Len() {
		t.Errorf("%d bytes plain, %d small, %d theirs", len(plain), len(small), theirs.Len())
	}
}

// FuzzQPACK: we read what quic-go's decoder reads, and refuse what it
// refuses, but for the Base: RFC 9204, 4.5.1.2, allows any that is not
// negative, and quic-go only 0.
func FuzzQPACK(f *testing.F) {
	f.Add([]byte{0, 0, 0xd1, 0xd7, 0xc1})
	f.Add(fields(field(":path", "/x"), field("x-a", "b")))
	f.Add(appendField(appendField(appendSectionPrefix(nil), "cookie", "a=b"), "x-y", "zzzz"))
	f.Add([]byte{0, 0, 0x3f, 0x80, 0x80, 0x80, 0x80, 0x01})
	f.Add([]byte{0, 0x80, 0xc1})
	f.Add([]byte{0, 0, 0x51, 0x81, 0xff})
	f.Fuzz(func(t *testing.T, block []byte) {
		if len(block) < 2 || block[1] != 0 {
			_, _ = ours(block)
			return
		}
		want, wantOK := reference(slices.Clone(block))
		got, ok := ours(slices.Clone(block))
		if ok != wantOK {
			t.Fatalf("ours %v, the other %v", ok, wantOK)
		}
		if ok && !slices.Equal(got, want) {
			t.Fatalf("ours %v, the other %v", got, want)
		}
	})
}
