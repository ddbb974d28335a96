package demo

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// slow answers after ?ms= milliseconds. With ?ttl= the answer may be
// stored: ask for it many times at once and see how many reach Answer.
func (o *Origin) slow(w http.ResponseWriter, r *http.Request) {
	ms, err := number(r.FormValue("ms"), param{name: "ms", fallback: 1000, most: maxSlow})
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	ttl, err := number(r.FormValue("ttl"), param{name: "ttl", most: maxTTL})
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	if !pause(r.Context(), time.Duration(ms)*time.Millisecond) {
		return
	}
	w.Header().Set("Cache-Control", fresh(ttl))
	writeJSON(w, http.StatusOK, o.answer(fmt.Sprintf("waited %d ms", ms)))
}

// pause waits for d and reports whether it got there before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// events streams ?n= server-sent events, one each second, and a last one
// named "done" so that a page closes the stream and does not come back.
func (o *Origin) events(w http.ResponseWriter, r *http.Request) {
	n, err := number(r.FormValue("n"), param{name: "n", fallback: 10, least: 1, most: maxEvents})
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return
	}
	out := http.NewResponseController(w)
	for i := range n {
		if i > 0 && !pause(r.Context(), time.Second) {
			return
		}
		data, err := json.Marshal(o.answer(fmt.Sprintf("event %d of %d", i+1, n)))
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "id: %d\ndata: %s\n\n", i+1, data); err != nil {
			return
		}
		if out.Flush() != nil {
			return
		}
	}
	// A reader who has gone misses nothing.
	_, _ = io.WriteString(w, "event: done\ndata: {}\n\n")
}

// echo sends every WebSocket message back.
func (o *Origin) echo(w http.ResponseWriter, r *http.Request) {
	o.sockets.Add(1)
	defer o.sockets.Done()
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		// An edge may name the origin's own host in Host, so that Origin does
		// not match it; an echo has nothing a foreign page could steal.
		InsecureSkipVerify: true,
	})
	if err != nil {
		return // Accept has answered
	}
	defer c.CloseNow()
	c.SetReadLimit(maxMessage)
	ctx, cancel := context.WithTimeout(r.Context(), socketTime)
	defer cancel()
	for {
		kind, message, err := c.Read(ctx)
		if err != nil {
			return // closed by the client, over time, or the origin stops
		}
		if c.Write(ctx, kind, message) != nil {
			return
		}
	}
}

// hintsPage is what /early-hints answers after its hint.
const hintsPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Early hints</title>
<link rel="stylesheet" href="/style.css">
<main class="plain">
<h1>Early hints</h1>
<p>The origin sent <code>103 Early Hints</code> with a link to the style sheet, waited a moment, and then sent this page.</p>
<p><a href="/">Back to the demo</a></p>
</main>
`

// earlyHints sends 103 and, a moment later, the page (RFC 8297).
func (o *Origin) earlyHints(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Link", "</style.css>; rel=preload; as=style")
	w.WriteHeader(http.StatusEarlyHints)
	if !pause(r.Context(), 200*time.Millisecond) {
		return
	}
	h.Set("Content-Type", typeHTML)
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(hintsPage)))
	_, _ = io.WriteString(w, hintsPage)
}

// trailers sends the digest of its content after the content (RFC 9530).
func (o *Origin) trailers(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", typeText)
	h.Set("Cache-Control", "no-store")
	h.Set("Trailer", "Content-Digest")
	digest := sha256.New()
	out := io.MultiWriter(w, digest)
	for i := range 3 {
		if _, err := fmt.Fprintf(out, "Line %d of 3; the digest follows as a trailer field.\n", i+1); err != nil {
			return
		}
	}
	h.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest.Sum(nil))+":")
}

// upload reads a body and says what it was.
func (o *Origin) upload(w http.ResponseWriter, r *http.Request) {
	digest := sha256.New()
	n, err := io.Copy(digest, http.MaxBytesReader(w, r.Body, maxUpload))
	if over := new(http.MaxBytesError); errors.As(err, &over) {
		refuse(w, http.StatusRequestEntityTooLarge, "a body may have %d bytes at most", over.Limit)
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "the body broke off after %d bytes: %v", n, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, struct {
		answer
		Length int64  `json:"length"`
		SHA256 string `json:"sha256"`
	}{o.answer("received"), n, hex.EncodeToString(digest.Sum(nil))})
}
