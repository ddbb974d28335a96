package demo

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestVaryPicksALanguage(t *testing.T) {
	for _, c := range []struct{ accept, want string }{
		{"", "en"},
		{"de", "de"},
		{"de-AT, en;q=0.5", "de"},
		{"en;q=0.1, fr;q=0.9", "fr"},
		{"tlh, es;q=0.2", "es"},
		{"ja;q=0, de;q=0.1", "de"},
		{"*", "en"},
		{"fr;q=high", "en"},
		{",,;", "en"},
	} {
		t.Run(c.accept, func(t *testing.T) {
			got := do(t, New(Config{}), http.MethodGet, "/vary", "Accept-Language", c.accept)
			if lang := got.header.Get("Content-Language"); lang != c.want {
				t.Errorf("language %q, want %q", lang, c.want)
			}
			if vary := got.header.Get("Vary"); vary != "Accept-Language" {
				t.Errorf("Vary %q", vary)
			}
		})
	}
}

func TestSetCookieOnce(t *testing.T) {
	o := New(Config{})
	first := do(t, o, http.MethodGet, "/set-cookie")
	cookie, err := http.ParseSetCookie(first.header.Get("Set-Cookie"))
	if err != nil {
		t.Fatal(err)
	}
	if cookie.Name != "session" || len(cookie.Value) < 16 || !cookie.HttpOnly {
		t.Errorf("cookie %v, want a session that no script reads and nobody guesses", cookie)
	}
	again := do(t, o, http.MethodGet, "/set-cookie", "Cookie", "session="+cookie.Value)
	if got := again.header.Get("Set-Cookie"); got != "" {
		t.Errorf("Set-Cookie %q for somebody who has a session", got)
	}
	if other := do(t, o, http.MethodGet, "/set-cookie").header.Get("Set-Cookie"); strings.Contains(other, cookie.Value) {
		t.Error("two visitors share a session")
	}
}

func TestHeadersShowsTheRequest(t *testing.T) {
	type field struct{ Name, Value string }
	got := decode[struct {
		Method, Target, Proto string
		Fields                []field
	}](t, do(t, New(Config{}), http.MethodDelete, "/headers?a=%20b", "Via", "2 landfall", "X-Two", "1", "X-Two", "2"))
	if got.Method != "DELETE" || got.Target != "/headers?a=%20b" || got.Proto != "HTTP/1.1" {
		t.Errorf("request line %+v", got)
	}
	want := []field{{"Host", "example.com"}, {"Via", "2 landfall"}, {"X-Two", "1"}, {"X-Two", "2"}}
	if !slices.Equal(got.Fields, want) {
		t.Errorf("fields %v, want %v", got.Fields, want)
	}
}

func TestStatusIsComplete(t *testing.T) {
	for _, c := range []struct{ target, field, want string }{
		{"/status/401", "WWW-Authenticate", `Demo realm="nobody can log in here"`},
		{"/status/405", "Allow", "GET, HEAD"},
		{"/status/302", "Location", "/"},
		{"/status/304", "Location", ""},
		{"/status/204", "Content-Length", ""},
	} {
		t.Run(c.target+" "+c.field, func(t *testing.T) {
			got := do(t, New(Config{}), http.MethodGet, c.target)
			if v := got.header.Get(c.field); v != c.want {
				t.Errorf("%s %q, want %q", c.field, v, c.want)
			}
			if bare := got.status == 204 || got.status == 304; bare != (got.body == "") {
				t.Errorf("%d with body %q", got.status, got.body)
			}
		})
	}
}

func TestUpload(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		says       string
	}{
		// The digests are those of FIPS 180-4's examples.
		{"nothing", "", 200, `"length":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`},
		{"abc", "abc", 200, `"length":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"`},
		{"one too many", strings.Repeat("x", maxUpload+1), 413, "67108864 bytes at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			New(Config{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/upload", strings.NewReader(c.body)))
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
				t.Errorf("%d %q, want %d with %q", w.Code, w.Body, c.status, c.says)
			}
		})
	}
	if got := do(t, New(Config{}), http.MethodGet, "/upload"); got.status == http.StatusOK {
		t.Errorf("GET /upload: %d", got.status)
	}
}
