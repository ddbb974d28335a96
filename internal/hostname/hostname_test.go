package hostname

import (
	"fmt"
	"strings"
	"testing"
)

func TestWire(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, tc := range []struct{ in, want string }{
		{"example.com", "example.com"},
		{"EXAMPLE.Com", "example.com"},
		{"example.com.", "example.com"},
		{"my_host.example", "my_host.example"},
		{"xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"127.0.0.1", "127.0.0.1"},
		{"[::1]", "::1"},
		{"[2001:DB8::0:1]", "2001:db8::1"},
		{long + ".example", long + ".example"},
		{"", ""},
		{".", ""},
		{"example.com..", ""},
		{".example.com", ""},
		{"a..b", ""},
		{long + "a.example", ""},
		{strings.Repeat("a.", 127) + "a", ""},
		{"bücher.example", ""},
		{"a b", ""},
		{"a@b", ""},
		{"a/b", ""},
		{"a:80", ""},
		{"a\x00", ""},
		{"[fe80::1%eth0]", ""},
		{"[127.0.0.1]", ""},
		{"[::1", ""},
	} {
		got, err := Wire(tc.in)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("Wire(%q) = %q, %v; want %q", tc.in, got, err, tc.want)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"Bücher.example", "xn--bcher-kva.example"},
		{"*.Example.com", "*.example.com"},
		{"shop_1.example", "shop_1.example"},
		{"::1", "::1"},
		{"[2001:DB8::1]", "2001:db8::1"},
		{"fe80::1%eth0", ""},
		{"*.com", ""},
		{"*", ""},
		{"a.*.example", ""},
		{"*.127.0.0.1", ""},
	} {
		got, err := Config(tc.in)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("Config(%q) = %q, %v; want %q", tc.in, got, err, tc.want)
		}
	}
}

func TestWireOfCanonicalDoesNotAllocate(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _, _ = Wire("www.shop.example.com") }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// FuzzWire: the canonical form is a fixed point and has no second spelling
// by case or trailing dot.
func FuzzWire(f *testing.F) {
	for _, s := range []string{"Example.COM.", "[::1]", "a_b.c", "1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, err := Wire(in)
		if err != nil {
			return
		}
		again := out
		if strings.Contains(out, ":") {
			again = fmt.Sprintf("[%s]", out)
		}
		if got, err := Wire(again); err != nil || got != out {
			t.Errorf("Wire(%q) = %q, but Wire of that = %q, %v", in, out, got, err)
		}
		if out != strings.ToLower(out) || strings.HasSuffix(out, ".") {
			t.Errorf("Wire(%q) = %q is not canonical", in, out)
		}
	})
}
