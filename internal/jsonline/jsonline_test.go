package jsonline

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	b := End(Time(Millis(Millis(Bool(Int(String(Begin(nil), "s", "a\"b\n\x1b\u0085é\xff"), "n", -7), "b", true), "m", 1234567*time.Nanosecond), "z", -time.Second), "t", at))
	want := `{"s":"a\"b\n\u001b\u0085é` + "\ufffd" + `","n":-7,"b":true,"m":1.234,"z":0,"t":"2026-01-02T03:04:05.000006Z"}` + "\n"
	if string(b) != want {
		t.Errorf("got  %swant %s", b, want)
	}
}

// FuzzString: any value comes back as it was, but for what is not UTF-8,
// and stays on its line.
func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\x7f\u2028\xc0\xaf\\\"")
	f.Fuzz(func(t *testing.T, value string) {
		line := End(String(Begin(nil), "v", value))
		var got struct{ V string }
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		want := value
		if !utf8.ValidString(value) {
			want = string([]rune(value))
		}
		if got.V != want {
			t.Errorf("%q came back as %q", value, got.V)
		}
		if i := strings.IndexFunc(string(line[:len(line)-1]), func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
			t.Errorf("%q has a control byte", line)
		}
	})
}
