package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"time"

	"github.com/landfall-cdn/landfall/internal/must"
)

//go:embed assets
var assets embed.FS

// The media types that more than one answer has.
const (
	typeHTML = "text/html; charset=utf-8"
	typeJSON = "application/json"
	typeText = "text/plain; charset=utf-8"
)

// released is the Last-Modified of what never changes, so that validators
// hold across a restart and across several demo origins.
var released = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// pagePolicy lets the page load from its own origin and nothing else.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// file is one embedded file as it is served. It never changes.
type file struct {
	kind string
	tag  string
	data []byte
}

// loadFiles returns the files by path. They are part of the binary: one
// that is missing is our mistake, not the machine's.
func loadFiles() map[string]file {
	files := map[string]file{}
	for path, kind := range map[string]string{
		"/style.css": "text/css; charset=utf-8",
		"/app.js":    "text/javascript; charset=utf-8",
		"/image.svg": "image/svg+xml",
		"/text":      typeText,
		"/json":      typeJSON,
	} {
		data, err := assets.ReadFile("assets" + path)
		must.True(err == nil, "demo file %s: %v", path, err)
		files[path] = file{kind: kind, tag: tagOf(data), data: data}
	}
	return files
}

func loadPage() *template.Template {
	t, err := template.ParseFS(assets, "assets/page.html")
	must.True(err == nil, "demo page: %v", err)
	return t
}

// tagOf returns a strong validator for data.
func tagOf(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// file serves an embedded file: fresh for five minutes, with both
// validators and ranges.
func (o *Origin) file(w http.ResponseWriter, r *http.Request) {
	f := o.files[r.URL.Path]
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("ETag", f.tag)
	http.ServeContent(w, r, "", released, bytes.NewReader(f.data))
}

// page serves the front page. It holds nothing about the visitor, so a
// shared cache may give it to everybody; what the page tells visitors
// about their own request, its script asks for.
func (o *Origin) page(w http.ResponseWriter, r *http.Request) {
	var buf bytes.Buffer
	made := time.Now().UTC()
	err := o.front.Execute(&buf, struct{ Name, Made, MadeISO string }{
		Name:    o.name,
		Made:    made.Format("15:04:05"),
		MadeISO: made.Format(time.RFC3339),
	})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the page cannot be made: %v", err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", typeHTML)
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "public, max-age=30")
	h.Set("ETag", tagOf(buf.Bytes()))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(buf.Bytes()))
}
