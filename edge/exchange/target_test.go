package exchange

import (
	"net/url"
	"strings"
	"testing"
)

func TestNormalPath(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"/", "/"},
		{"/a//b;c", "/a//b;c"},
		{"/%61ccount/me", "/account/me"},
		{"/a%2fb%c3%a9", "/a%2Fb%C3%A9"},
		{"/a%2ehtml", "/a.html"},
		{"/.well-known/x", "/.well-known/x"},
		{"/a/...", "/a/..."},
		{"/%2541", "/%2541"},
		{"/a/../b", ""},
		{"/a/.", ""},
		{"/./b", ""},
		{"/%2e%2e/b", ""},
		{"/a/.%2E", ""},
		{"/x/..%2faccount", ""},
		{"/x%5c..%5cy", ""},
		{"/50%", ""},
		{"/%zz", ""},
		{"/%4", ""},
	} {
		got, ok := NormalPath(tc.in)
		if ok != (tc.want != "") || ok && got != tc.want {
			t.Errorf("%q: %q, %v; want %q", tc.in, got, ok, tc.want)
		}
	}
}

func TestNormalQuery(t *testing.T) {
	for in, want := range map[string]string{
		"":               "",
		"?":              "?",
		"?%73ecret=%2f":  "?secret=%2F",
		"?x=%zz&%73=1":   "?x=%zz&%73=1",
		"?a=b+c&d=../..": "?a=b+c&d=../..",
		"?%26=%3d":       "?%26=%3D",
	} {
		if got := NormalQuery(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzNormalPath: the normal form is a fixed point, decodes to what the
// path decoded to, and holds no dot segment.
func FuzzNormalPath(f *testing.F) {
	for _, s := range []string{"/%61", "/%2e%2e/", "/a%2F..", "/%25%36%31"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, ok := NormalPath(in)
		if !ok {
			return
		}
		if again, ok := NormalPath(out); !ok || again != out {
			t.Errorf("%q became %q, and that %q, %v", in, out, again, ok)
		}
		was, err1 := url.PathUnescape(in)
		is, err2 := url.PathUnescape(out)
		if err1 != nil || err2 != nil || was != is {
			t.Errorf("%q decodes to %q, its normal form %q to %q", in, was, out, is)
		}
		for _, segment := range strings.Split(strings.ReplaceAll(is, `\`, "/"), "/") {
			if strings.Contains(in, "%") && (segment == "." || segment == "..") {
				t.Errorf("%q has the dot segment %q", in, segment)
			}
		}
	})
}
