package jsonline

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestValues(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6789, time.FixedZone("", 3600))
	for _, tc := range []struct{ got, want string }{
		{string(Text(nil, "a\"b\n\x1b\u0085é\xff")), `a\"b\n\u001b\u0085é` + "\ufffd"},
		{string(Millis(nil, 1234567*time.Nanosecond)), "1.234"},
		{string(Millis(nil, 5*time.Millisecond)), "5"},
		{string(Millis(nil, -time.Second)), "0"},
		{string(Time(nil, at)), "2026-01-02T02:04:05.000006Z"},
		{string(Time(nil, at.Add(time.Second-time.Microsecond))), "2026-01-02T02:04:06.000005Z"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
}

// FuzzText: any value comes back as it was, but for what is not UTF-8, and
// stays on its line.
func FuzzText(f *testing.F) {
	f.Add("plain and longer than eight bytes")
	f.Add("\x00\x7f\u2028\xc0\xaf\\\"")
	f.Fuzz(func(t *testing.T, value string) {
		line := Text(nil, value)
		var got string
		if err := json.Unmarshal([]byte(`"`+string(line)+`"`), &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		want := value
		if !utf8.ValidString(value) {
			want = string([]rune(value))
		}
		if got != want {
			t.Errorf("%q came back as %q", value, got)
		}
		if i := strings.IndexFunc(string(line), func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
			t.Errorf("%q has a control byte", line)
		}
	})
}
