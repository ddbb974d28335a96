package demo

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// reply is a response that has been read.
type reply struct {
	status int
	header http.Header
	body   string
}

// do makes one request with fields given as name, value, name, value.
func do(t *testing.T, o *Origin, method, target string, fields ...string) reply {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
	for f := range slices.Chunk(fields, 2) {
		r.Header.Add(f[0], f[1])
	}
	w := httptest.NewRecorder()
	o.ServeHTTP(w, r)
	res := w.Result()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(data)}
}

// decode reads a JSON answer.
func decode[T any](t *testing.T, r reply) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%q: %v", r.body, err)
	}
	return v
}

func TestWhatACacheMayDo(t *testing.T) {
	for _, c := range []struct {
		target  string
		status  int
		kind    string
		control string
	}{
		{"/", 200, typeHTML, "public, max-age=30"},
		{"/style.css", 200, "text/css; charset=utf-8", "public, max-age=300"},
		{"/app.js", 200, "text/javascript; charset=utf-8", "public, max-age=300"},
		{"/image.svg", 200, "image/svg+xml", "public, max-age=300"},
		{"/text", 200, typeText, "public, max-age=300"},
		{"/json", 200, typeJSON, "public, max-age=300"},
		{"/time", 200, typeJSON, "public, max-age=10"},
		{"/time?ttl=7", 200, typeJSON, "public, max-age=7"},
		{"/time?ttl=0", 200, typeJSON, "no-store"},
		{"/stale", 200, typeJSON, "public, max-age=1, stale-while-revalidate=30"},
		{"/vary", 200, typeJSON, "public, max-age=60"},
		{"/bytes/10", 200, "application/octet-stream", "public, max-age=3600"},
		{"/now", 200, typeJSON, "no-store"},
		{"/headers", 200, typeJSON, "no-store"},
		{"/set-cookie", 200, typeJSON, "no-store"},
		{"/status/404", 404, typeJSON, "no-store"},
		{"/status/404?ttl=60", 404, typeJSON, "public, max-age=60"},
		{"/trailers", 200, typeText, "no-store"},
		{"/nowhere", 404, typeText, "no-store"},
	} {
		t.Run(c.target, func(t *testing.T) {
			got := do(t, New(Config{}), http.MethodGet, c.target)
			if got.status != c.status {
				t.Errorf("status %d, want %d: %s", got.status, c.status, got.body)
			}
			if kind := got.header.Get("Content-Type"); kind != c.kind {
				t.Errorf("Content-Type %q, want %q", kind, c.kind)
			}
			if control := got.header.Get("Cache-Control"); control != c.control {
				t.Errorf("Cache-Control %q, want %q", control, c.control)
			}
			if got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("no nosniff: what a visitor sends could come back as a page")
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		method, target string
		status         int
		says           string
	}{
		{"GET", "/time?ttl=86401", 400, "ttl must be a whole number from 0 to 86400"},
		{"GET", "/time?ttl=-1", 400, "ttl must be"},
		{"GET", "/time?ttl=soon", 400, "ttl must be"},
		{"GET", "/slow?ms=30001", 400, "ms must be a whole number from 0 to 30000"},
		{"GET", "/slow?ms=1&ttl=x", 400, "ttl must be"},
		{"GET", "/events?n=0", 400, "n must be a whole number from 1 to 60"},
		{"GET", "/events?n=61", 400, "n must be"},
		{"GET", "/bytes/1073741825", 400, "n must be a whole number from 0 to 1073741824"},
		{"GET", "/bytes/99999999999999999999", 400, "n must be"},
		{"GET", "/status/199", 400, "status must be a whole number from 200 to 599"},
		{"GET", "/status/600", 400, "status must be"},
		{"GET", "/status/206", 400, "206 takes a range"},
		{"GET", "/status/200?ttl=x", 400, "ttl must be"},
		{"GET", "/ws", 426, "WebSocket"},
	} {
		t.Run(c.target, func(t *testing.T) {
			got := do(t, New(Config{}), c.method, c.target)
			if got.status != c.status || !strings.Contains(got.body, c.says) {
				t.Errorf("%d %q, want %d with %q", got.status, got.body, c.status, c.says)
			}
			if control := got.header.Get("Cache-Control"); c.status == 400 && control != "no-store" {
				t.Errorf("Cache-Control %q of a refusal, want no-store", control)
			}
		})
	}
}

func TestAnswersAreCounted(t *testing.T) {
	o := New(Config{Name: "north"})
	for want := uint64(1); want <= 3; want++ {
		if got := decode[answer](t, do(t, o, http.MethodGet, "/now")); got.Answer != want || got.Origin != "north" {
			t.Errorf("answer %d of %q, want %d of north", got.Answer, got.Origin, want)
		}
	}
}

func TestFilesHaveValidators(t *testing.T) {
	o := New(Config{})
	for _, path := range []string{"/text", "/json", "/style.css", "/app.js", "/image.svg"} {
		first := do(t, o, http.MethodGet, path)
		tag, modified := first.header.Get("ETag"), first.header.Get("Last-Modified")
		if tag == "" || modified == "" {
			t.Fatalf("%s: ETag %q, Last-Modified %q, want both", path, tag, modified)
		}
		if again := New(Config{}).files[path].tag; again != tag {
			t.Errorf("%s: ETag %s after a restart, was %s", path, again, tag)
		}
		if got := do(t, o, http.MethodGet, path, "If-None-Match", tag); got.status != http.StatusNotModified || got.body != "" {
			t.Errorf("%s: %d with its own tag, want 304", path, got.status)
		}
		if got := do(t, o, http.MethodGet, path, "If-Modified-Since", modified); got.status != http.StatusNotModified {
			t.Errorf("%s: %d with its own date, want 304", path, got.status)
		}
		if got := do(t, o, http.MethodGet, path, "If-None-Match", `"other"`); got.status != http.StatusOK {
			t.Errorf("%s: %d with another tag, want 200", path, got.status)
		}
	}
}

func TestPageSaysWhenItWasMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New(Config{Name: "<b>north</b>"})
		first := do(t, o, http.MethodGet, "/")
		if want := time.Now().UTC().Format("15:04:05") + " UTC"; !strings.Contains(first.body, want) {
			t.Errorf("the page does not say %s", want)
		}
		if strings.Contains(first.body, "<b>north</b>") {
			t.Error("the origin's name is not escaped")
		}
		time.Sleep(time.Second)
		if second := do(t, o, http.MethodGet, "/"); second.header.Get("ETag") == first.header.Get("ETag") {
			t.Error("two different pages have one ETag")
		}
	})
}

// TestPageLoadsNothingForeign holds the page to its own policy and to
// paths that exist.
func TestPageLoadsNothingForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New(Config{})
		page := do(t, o, http.MethodGet, "/")
		if got := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'") {
			t.Errorf("Content-Security-Policy %q", got)
		}
		if regexp.MustCompile(`<style|style=|<script>|\son[a-z]+=`).MatchString(page.body) {
			t.Error("the page has inline script or style, which its policy blocks")
		}
		links := regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(page.body, -1)
		if len(links) < 10 {
			t.Fatalf("%d links found", len(links))
		}
		for _, l := range links {
			if !strings.HasPrefix(l[1], "/") {
				t.Errorf("%s is not of this origin", l[1])
				continue
			}
			if got := do(t, o, http.MethodHead, l[1]); got.status == http.StatusNotFound || got.status == http.StatusBadRequest {
				t.Errorf("%s: %d", l[1], got.status)
			}
		}
	})
}

func TestTextListsEveryPath(t *testing.T) {
	o := New(Config{})
	list := do(t, o, http.MethodGet, "/text").body
	for path := range o.files {
		if !strings.Contains(list, path) {
			t.Errorf("/text does not list %s", path)
		}
	}
	for _, path := range []string{
		"/time", "/stale", "/vary", "/bytes/{n}", "/now", "/headers", "/set-cookie",
		"/status/{code}", "/upload", "/slow", "/events", "/ws", "/early-hints", "/trailers",
	} {
		if !strings.Contains(list, path) {
			t.Errorf("/text does not list %s", path)
		}
	}
}
