// Package demo is the origin behind `landfall dev`: a small site whose
// answers show what an edge does with them. It owns the page, one path
// for each behaviour of HTTP worth trying, and the bounds on them. It
// never dials, keeps nothing on disk and knows nothing of the edge in
// front of it.
package demo

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// The bounds. A request that asks for more is refused with 400, 413 or
// 503 and a sentence that names the bound; nothing is cut to fit.
const (
	maxTTL        = 24 * 60 * 60 // seconds of max-age
	maxSlow       = 30_000       // milliseconds that /slow waits
	maxBytes      = 1 << 30      // length of /bytes/{n}
	maxEvents     = 60           // events of one stream
	maxUpload     = 64 << 20     // bytes of a request body
	maxMessage    = 64 << 10     // bytes of a WebSocket message
	maxHeld       = 256          // requests that wait or stream at once
	socketTime    = 10 * time.Minute
	headTime      = 10 * time.Second
	idleTime      = 60 * time.Second
	maxHeadBytes  = 64 << 10
	shutdownGrace = 5 * time.Second
)

// Config is what a demo origin can be told. The zero value works.
type Config struct {
	// Name tells several origins apart on the page and in JSON answers.
	// Default "demo".
	Name string
	// Log gets what goes wrong with connections. Default: nothing is logged.
	Log *zap.Logger
}

// Origin is the demo site. Any number of goroutines may use it.
type Origin struct {
	// Static after New.
	name  string
	log   *zap.Logger
	mux   *http.ServeMux
	files map[string]file
	front *template.Template

	// Shared by all requests.
	answers atomic.Uint64 // dynamic answers made since the start
	held    chan struct{} // one place for each request that waits or streams
	sockets sync.WaitGroup
}

// New returns an origin that is ready to serve.
func New(c Config) *Origin {
	o := &Origin{
		name:  c.Name,
		log:   c.Log,
		files: loadFiles(),
		front: loadPage(),
		held:  make(chan struct{}, maxHeld),
	}
	if o.name == "" {
		o.name = "demo"
	}
	if o.log == nil {
		o.log = zap.NewNop()
	}
	o.mux = o.routes()
	return o
}

// routes is the whole site. The page and /text list the same paths.
func (o *Origin) routes() *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", o.page)
	for name := range o.files {
		m.HandleFunc("GET "+name, o.file)
	}

	m.HandleFunc("GET /time", o.time)
	m.HandleFunc("GET /stale", o.stale)
	m.HandleFunc("GET /vary", o.vary)
	m.HandleFunc("GET /bytes/{n}", o.bytes)

	m.HandleFunc("GET /now", o.now)
	m.HandleFunc("GET /set-cookie", o.setCookie)
	m.HandleFunc("/headers", o.headers)
	m.HandleFunc("/status/{code}", o.status)
	m.HandleFunc("POST /upload", o.upload)

	m.HandleFunc("GET /slow", o.holding(o.slow))
	m.HandleFunc("GET /events", o.holding(o.events))
	m.HandleFunc("GET /ws", o.holding(o.echo))
	m.HandleFunc("GET /early-hints", o.earlyHints)
	m.HandleFunc("GET /trailers", o.trailers)

	m.HandleFunc("/", o.notFound)
	return m
}

// ServeHTTP answers one request.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Server", "landfall-demo")
	h.Set("X-Content-Type-Options", "nosniff")
	o.mux.ServeHTTP(w, r)
}

// Run serves plain HTTP/1.1 on ln until ctx is done. Streams, waits and
// sockets end there and then, so that a page left open in a browser does
// not hold the process up; other requests have a few seconds to finish.
// Run returns once every connection is closed: with nil when ctx ended
// it. It closes ln.
func (o *Origin) Run(ctx context.Context, ln net.Listener) error {
	// http.Server forgets hijacked connections; their handlers end with
	// the context and are waited for here.
	defer o.sockets.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	s := &http.Server{
		Handler:           o,
		ReadHeaderTimeout: headTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeadBytes,
		ErrorLog:          zap.NewStdLog(o.log),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()

	select {
	case err := <-served:
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer stop()
	err := s.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("demo origin: requests still running after %v: %w", shutdownGrace, err), s.Close())
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// holding bounds the requests that take long by design.
func (o *Origin) holding(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case o.held <- struct{}{}:
			defer func() { <-o.held }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, "%d requests are waiting or streaming already; try again in a second", maxHeld)
		}
	}
}
