package demo

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

func TestNoiseIsAReadSeeker(t *testing.T) {
	whole, err := io.ReadAll(&noise{size: 1003})
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(&noise{size: 1003}, whole); err != nil {
		t.Error(err)
	}
}

func TestNoiseIsNotRegular(t *testing.T) {
	data, err := io.ReadAll(&noise{size: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	var seen [256]int
	for _, b := range data {
		seen[b]++
	}
	for b, n := range seen {
		if n < 128 || n > 512 { // 256 are expected
			t.Errorf("byte %#x occurs %d times in %d", b, n, len(data))
		}
	}
}

func TestBytesRanges(t *testing.T) {
	o := New(Config{})
	whole := do(t, o, http.MethodGet, "/bytes/10000")
	if len(whole.body) != 10000 {
		t.Fatalf("%d bytes, want 10000", len(whole.body))
	}
	for _, c := range []struct {
		ranges, contentRange, want string
		status                     int
	}{
		{"bytes=0-9", "bytes 0-9/10000", whole.body[:10], 206},
		{"bytes=4321-4399", "bytes 4321-4399/10000", whole.body[4321:4400], 206},
		{"bytes=-5", "bytes 9995-9999/10000", whole.body[9995:], 206},
		{"bytes=9990-", "bytes 9990-9999/10000", whole.body[9990:], 206},
		{"bytes=10000-", "bytes */10000", "", 416},
	} {
		t.Run(c.ranges, func(t *testing.T) {
			got := do(t, o, http.MethodGet, "/bytes/10000", "Range", c.ranges)
			if got.status != c.status || got.header.Get("Content-Range") != c.contentRange {
				t.Errorf("%d %q, want %d %q", got.status, got.header.Get("Content-Range"), c.status, c.contentRange)
			}
			if c.status == 206 && got.body != c.want {
				t.Error("other bytes than the same range of the whole")
			}
		})
	}
}

func TestBytesAgreeAcrossLengthsAndOrigins(t *testing.T) {
	short, long := do(t, New(Config{}), http.MethodGet, "/bytes/100"), do(t, New(Config{Name: "other"}), http.MethodGet, "/bytes/200")
	if !strings.HasPrefix(long.body, short.body) {
		t.Error("the first 100 of 200 bytes are not those of 100")
	}
	if short.header.Get("ETag") == long.header.Get("ETag") {
		t.Error("two lengths have one ETag")
	}
}

// TestBytesStream reads from the far end of the largest answer: it can
// only pass when nothing is held in memory on the way.
func TestBytesStream(t *testing.T) {
	got := do(t, New(Config{}), http.MethodGet, fmt.Sprintf("/bytes/%d", maxBytes), "Range", fmt.Sprintf("bytes=%d-", maxBytes-7))
	if got.status != http.StatusPartialContent || len(got.body) != 7 {
		t.Errorf("%d with %d bytes, want 206 with 7", got.status, len(got.body))
	}
	n := &noise{size: maxBytes}
	buf := make([]byte, 32<<10)
	if allocs := testing.AllocsPerRun(100, func() { _, _ = n.Read(buf) }); allocs != 0 {
		t.Errorf("%v allocations a read, want none", allocs)
	}
}

func BenchmarkNoise(b *testing.B) {
	buf := make([]byte, 64<<10)
	b.SetBytes(int64(len(buf)))
	n := &noise{size: 1 << 62}
	for b.Loop() {
		_, _ = n.Read(buf)
	}
}
