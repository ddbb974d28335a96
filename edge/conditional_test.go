package edge

import (
	"net/http"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

const (
	monday  = "Mon, 02 Nov 2026 10:00:00 GMT"
	tuesday = "Tue, 03 Nov 2026 10:00:00 GMT"
)

func TestChoose(t *testing.T) {
	stored := exchange.Header{{Name: "etag", Value: `"a,b"`}, {Name: "last-modified", Value: monday}}
	weak := exchange.Header{{Name: "etag", Value: `W/"a,b"`}}
	whole := selected{status: 200, n: 100}
	part := func(off, n int64) selected { return selected{status: 206, off: off, n: n} }
	for _, tc := range []struct {
		name   string
		method string
		req    exchange.Header
		stored exchange.Header
		length int64
		want   selected
	}{
		{name: "no condition", want: whole},
		{name: "same tag", req: exchange.Header{{Name: "if-none-match", Value: `"a,b"`}}, want: selected{status: 304}},
		{name: "one of several tags", req: exchange.Header{{Name: "if-none-match", Value: `"x" , W/"a,b"`}}, want: selected{status: 304}},
		{name: "any tag", req: exchange.Header{{Name: "if-none-match", Value: "*"}}, want: selected{status: 304}},
		{name: "another tag", req: exchange.Header{{Name: "if-none-match", Value: `"a"`}}, want: whole},
		{name: "tag wins over date", req: exchange.Header{{Name: "if-none-match", Value: `"a"`}, {Name: "if-modified-since", Value: tuesday}}, want: whole},
		{name: "not modified since", req: exchange.Header{{Name: "if-modified-since", Value: monday}}, want: selected{status: 304}},
		{name: "modified since", req: exchange.Header{{Name: "if-modified-since", Value: "Sun, 01 Nov 2026 10:00:00 GMT"}}, want: whole},
		{name: "no date", req: exchange.Header{{Name: "if-modified-since", Value: "yesterday"}}, want: whole},
		{name: "match fails", req: exchange.Header{{Name: "if-match", Value: `"a"`}}, want: selected{status: 412}},
		{name: "match is strong", stored: weak, req: exchange.Header{{Name: "if-match", Value: `W/"a,b"`}}, want: selected{status: 412}},
		{name: "match holds", req: exchange.Header{{Name: "if-match", Value: `"a,b"`}}, want: whole},
		{name: "unmodified since fails", req: exchange.Header{{Name: "if-unmodified-since", Value: "Sun, 01 Nov 2026 10:00:00 GMT"}}, want: selected{status: 412}},
		{name: "head", method: "HEAD", req: exchange.Header{{Name: "range", Value: "bytes=0-1"}}, want: whole},
		{name: "post", method: "POST", req: exchange.Header{{Name: "if-none-match", Value: "*"}}, want: whole},
		{name: "range", req: exchange.Header{{Name: "range", Value: "bytes=10-19"}}, want: part(10, 10)},
		{name: "open range", req: exchange.Header{{Name: "range", Value: "bytes=90-"}}, want: part(90, 10)},
		{name: "range past the end", req: exchange.Header{{Name: "range", Value: "bytes=90-1000"}}, want: part(90, 10)},
		{name: "suffix", req: exchange.Header{{Name: "range", Value: "bytes=-5"}}, want: part(95, 5)},
		{name: "suffix longer than all", req: exchange.Header{{Name: "range", Value: "bytes=-500"}}, want: part(0, 100)},
		{name: "nothing there", req: exchange.Header{{Name: "range", Value: "bytes=100-"}}, want: selected{status: 416}},
		{name: "empty suffix", req: exchange.Header{{Name: "range", Value: "bytes=-0"}}, want: selected{status: 416}},
		{name: "several ranges are ignored", req: exchange.Header{{Name: "range", Value: "bytes=0-1,3-4"}}, want: whole},
		{name: "two range lines are ignored", req: exchange.Header{{Name: "range", Value: "bytes=0-1"}, {Name: "range", Value: "bytes=3-4"}}, want: whole},
		{name: "backward range is ignored", req: exchange.Header{{Name: "range", Value: "bytes=5-4"}}, want: whole},
		{name: "another unit is ignored", req: exchange.Header{{Name: "range", Value: "lines=1-2"}}, want: whole},
		{name: "overflow", req: exchange.Header{{Name: "range", Value: "bytes=0-99999999999999999999"}}, want: part(0, 100)},
		{name: "length not known", length: -1, req: exchange.Header{{Name: "range", Value: "bytes=0-1"}}, want: selected{status: 200, n: -1}},
		{name: "if-range holds", req: exchange.Header{{Name: "range", Value: "bytes=0-1"}, {Name: "if-range", Value: `"a,b"`}}, want: part(0, 2)},
		{name: "if-range fails", req: exchange.Header{{Name: "range", Value: "bytes=0-1"}, {Name: "if-range", Value: `"z"`}}, want: whole},
		{name: "if-range is strong", stored: weak, req: exchange.Header{{Name: "range", Value: "bytes=0-1"}, {Name: "if-range", Value: `W/"a,b"`}}, want: whole},
		{name: "if-range date is exact", req: exchange.Header{{Name: "range", Value: "bytes=0-1"}, {Name: "if-range", Value: tuesday}}, want: whole},
		{name: "if-range date holds", req: exchange.Header{{Name: "range", Value: "bytes=0-1"}, {Name: "if-range", Value: monday}}, want: part(0, 2)},
		{name: "condition before range", req: exchange.Header{{Name: "range", Value: "bytes=0-1"}, {Name: "if-none-match", Value: "*"}}, want: selected{status: 304}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &exchange.Request{Method: http.MethodGet, Header: tc.req}
			if tc.method != "" {
				r.Method = tc.method
			}
			h, length := stored, int64(100)
			if tc.stored != nil {
				h = tc.stored
			}
			if tc.length != 0 {
				length = tc.length
			}
			if got := choose(r, 200, h, length); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestOnlyA200IsConditional(t *testing.T) {
	r := &exchange.Request{Method: http.MethodGet, Header: exchange.Header{{Name: "if-none-match", Value: "*"}, {Name: "range", Value: "bytes=0-0"}}}
	for _, status := range []int{203, 301, 404, 500} {
		if got := choose(r, status, nil, 10); got.status != status {
			t.Errorf("%d became %d", status, got.status)
		}
	}
}

// FuzzRange: whatever a client asks for, what it gets lies within the
// representation.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes= 1-2 ", "bytes=99999999999999999999-", "bytes=--1"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, value string, length int64) {
		if length < 0 {
			return
		}
		got := cut(value, length, selected{status: 200, n: length})
		if got.status == 206 && (got.off < 0 || got.n < 1 || got.off+got.n > length) {
			t.Errorf("%q of %d bytes gave [%d, +%d)", value, length, got.off, got.n)
		}
	})
}

// FuzzEntityTags: splitting loses nothing but separators.
func FuzzEntityTags(f *testing.F) {
	for _, s := range []string{`"a", W/"b"`, `"a,b"`, `*`, `"`, `,,`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		n := 0
		for _, tag := range entityTags(line) {
			if tag == "" {
				t.Errorf("%q gave an empty tag", line)
			}
			n += len(tag)
		}
		if n > len(line) {
			t.Errorf("%q gave more than it has", line)
		}
	})
}
