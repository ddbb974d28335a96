package configs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seed adds the examples and the documents of testdata.
func seed(f *testing.F) {
	for _, pattern := range []string{"examples/*.yaml", "examples/pop/*.yaml", "testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

func checkReadBackNode(t *testing.T, n *Node) {
	t.Helper()
	out, err := n.EncodeYAML()
	if err != nil {
		t.Fatal(err)
	}
	again, diags := ParseNode("", out)
	if again == nil {
		t.Fatalf("what was written is refused:\n%s%s", diags, out)
	}
	if d := cmp.Diff(n, again, byValue); d != "" {
		t.Errorf("read back -first +second\n%s%s", d, out)
	}
}

func checkReadBackSite(t *testing.T, s *Site) {
	t.Helper()
	out, err := s.EncodeYAML()
	if err != nil {
		t.Fatal(err)
	}
	again, diags := ParseSite("", out, Options{})
	if again == nil {
		t.Fatalf("what was written is refused:\n%s%s", diags, out)
	}
	if d := cmp.Diff(s, again, byValue); d != "" {
		t.Errorf("read back -first +second\n%s%s", d, out)
	}
}

// An accepted document, written out with its defaults, reads as the same.
func FuzzParseSite(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, diags := ParseSite("conf/site.yaml", data, Options{})
		if (s == nil) != diags.HasErrors() {
			t.Fatalf("site %v with %v", s, diags)
		}
		if s != nil {
			checkReadBackSite(t, s)
		}
	})
}

func FuzzParseNode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		n, diags := ParseNode("conf/node.yaml", data)
		if (n == nil) != diags.HasErrors() {
			t.Fatalf("node %v with %v", n, diags)
		}
		if n != nil {
			checkReadBackNode(t, n)
		}
	})
}

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"60s", "1h30m", "30d", "106751d", "106752d", "0s", "1ms1us1ns", "1s1s", "5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is negative: %d", s, d)
		}
		if again, err := ParseDuration(FormatDuration(d)); err != nil || again != d {
			t.Errorf("%q is %d, written %q, read %d, %v", s, d, FormatDuration(d), again, err)
		}
	})
}

func FuzzSize(f *testing.F) {
	for _, s := range []string{"256MiB", "1MB", "512B", "0B", "8388607TiB", "8388608TiB", "1kb", "9223372036854775807B"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseSize(s)
		if err != nil {
			return
		}
		if n < 0 {
			t.Fatalf("%q is negative: %d", s, n)
		}
		if again, err := ParseSize(FormatSize(n)); err != nil || again != n {
			t.Errorf("%q is %d, written %q, read %d, %v", s, n, FormatSize(n), again, err)
		}
	})
}

func TestUnits(t *testing.T) {
	durations := map[string]time.Duration{
		"60s": time.Minute, "24h": 24 * time.Hour, "30d": 720 * time.Hour, "1h30m": 90 * time.Minute,
		"0s": 0, "100ms": 100 * time.Millisecond, "1d1ns": 24*time.Hour + 1,
	}
	for s, want := range durations {
		if got, err := ParseDuration(s); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	sizes := map[string]int64{
		"256MiB": 256 << 20, "10GiB": 10 << 30, "1MB": 1e6, "2TB": 2e12, "1KB": 1000, "1KiB": 1024, "7B": 7, "0B": 0,
	}
	for s, want := range sizes {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "1", "s", "1.5h", "-1s", "1 s", "1S", "1h1h", "1m1h", "99999999999999999999s", "106752d"} {
		if d, err := ParseDuration(s); err == nil {
			t.Errorf("ParseDuration(%q) = %v", s, d)
		}
	}
	for _, s := range []string{"", "1", "B", "1.5GiB", "-1B", "1 B", "1gib", "1MiB1B", "8388608TiB", "99999999999999999999B"} {
		if n, err := ParseSize(s); err == nil {
			t.Errorf("ParseSize(%q) = %v", s, n)
		}
	}
}
