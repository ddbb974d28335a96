package testneed

import (
	"fmt"
	"strings"
	"testing"
)

// recorder is a testing.TB that notes how a test ended.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.end = "skip: " + fmt.Sprintf(format, args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.end = "fail: " + fmt.Sprintf(format, args...)
}

func TestMissing(t *testing.T) {
	for _, c := range []struct{ name, require, want string }{
		{"a laptop skips", "", "skip: needs the command no-such-program (Debian package nowhere)"},
		{"zero is no", "0", "skip: needs the command no-such-program (Debian package nowhere)"},
		{"continuous integration fails", "1", "fail: needs the command no-such-program (Debian package nowhere), and LANDFALL_REQUIRE forbids to skip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(requireEnv, c.require)
			r := &recorder{TB: t}
			Command(r, "no-such-program", "nowhere")
			if r.end != c.want {
				t.Errorf("%q, want %q", r.end, c.want)
			}
		})
	}
}

func TestPresent(t *testing.T) {
	t.Setenv(requireEnv, "1")
	r := &recorder{TB: t}
	if path := Command(r, "go", "golang-go"); r.end != "" || !strings.HasSuffix(path, "go") {
		t.Errorf("%q, ended with %q, want the path of go", path, r.end)
	}
	if That(r, true, "nothing"); r.end != "" {
		t.Errorf("ended with %q", r.end)
	}
}
