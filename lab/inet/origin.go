package inet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The paths that the origin answers.
const (
	// PathQuick is small and may be stored.
	PathQuick = "/quick"
	// PathLong takes LongTime: LongSize bytes sent steadily, never stored,
	// with a validator, so that a client whose connection broke can go on
	// where it was (RFC 9110, 13.1.5 and 14.2).
	PathLong = "/long"
)

// LongTime and LongSize are how long the answer at PathLong takes, and its
// length in bytes. It is sent in pieces of longPiece bytes.
const (
	LongTime  = 4 * time.Second
	LongSize  = 160_000
	longPiece = 2_000
	longTag   = `"steady"`
)

// originStop bounds how long answers in progress may hold up the end.
const originStop = time.Second

// ServeOrigin is the lab's origin: it answers at addr until ctx is done.
func ServeOrigin(ctx context.Context, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the origin: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+PathQuick, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=600")
		_, _ = fmt.Fprintln(w, "land ahoy") // a reader who has gone misses nothing
	})
	mux.HandleFunc("GET "+PathLong, serveLong)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	var serving sync.WaitGroup
	serving.Go(func() { served <- s.Serve(ln) })
	defer serving.Wait()
	select {
	case err := <-served:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), originStop)
	defer cancel()
	if s.Shutdown(grace) == nil {
		return nil
	}
	return s.Close()
}

// serveLong sends the long answer, or the end of it from where a range
// begins.
func serveLong(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("ETag", longTag)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "application/octet-stream")
	from := longFrom(r)
	h.Set("Content-Length", strconv.Itoa(LongSize-from))
	if from > 0 {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, LongSize-1, LongSize))
		w.WriteHeader(http.StatusPartialContent)
	}
	out := http.NewResponseController(w)
	tick := time.NewTicker(LongTime / (LongSize / longPiece))
	defer tick.Stop()
	for at := from; at < LongSize; {
		n := min(longPiece, LongSize-at)
		if _, err := w.Write(longBytes(at, n)); err != nil || out.Flush() != nil {
			return
		}
		at += n
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// longFrom is where the answer begins: 0 unless the request asks for the
// rest of this very representation.
func longFrom(r *http.Request) int {
	text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	text, open := strings.CutSuffix(text, "-")
	n, err := strconv.Atoi(text)
	if !ok || !open || err != nil || n <= 0 || n >= LongSize || r.Header.Get("If-Range") != longTag {
		return 0
	}
	return n
}

// longBytes are the bytes of the long answer from a place: different
// everywhere, so that a client notices one that was glued together wrongly.
func longBytes(at, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = LongByte(at + i)
	}
	return b
}

// LongByte is the byte of the long answer at a place.
func LongByte(at int) byte { return byte(at*31 + at>>8) }
