// Package admin serves a node's own address: health, metrics, profiles and the
// operator's API. It is never reachable through an address that the node
// announces, and knows nothing of what the API does.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/internal/health"
)

// Server is the admin listener.
type Server struct {
	// Static after Listen.
	ln   net.Listener
	mux  *http.ServeMux
	http *http.Server
}

// Listen opens the admin address. Nothing is accepted before Run.
func Listen(addr netip.AddrPort, checks *health.Set, metrics *prometheus.Registry, log *zap.Logger) (*Server, error) {
	ln, err := net.Listen("tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen for admin on %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz/live", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	})
	mux.HandleFunc("GET /healthz/ready", func(w http.ResponseWriter, _ *http.Request) {
		v := checks.Verdict()
		status := http.StatusOK
		if !v.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, v)
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{ErrorLog: zap.NewStdLog(log), Registry: metrics}))
	return &Server{ln: ln, mux: mux, http: &http.Server{
		Handler:           protect(mux),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(log),
	}}, nil
}

// Handle has h answer what is under a path such as "/v1/". It comes before
// Run; a path can be given once.
func (s *Server) Handle(path string, h http.Handler) { s.mux.Handle(path, h) }

// Addr returns the address that is listened on.
func (s *Server) Addr() netip.AddrPort { return s.ln.Addr().(*net.TCPAddr).AddrPort() }

// Close gives the address back, of a Server that never ran.
func (s *Server) Close() error { return s.ln.Close() }

// Run serves until ctx is done.
func (s *Server) Run(ctx context.Context, ready func()) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	ready()
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// protect refuses requests that change something and that a web page has
// made an operator's browser send: from another origin, or from its own one
// after its name was made to lead here (DNS rebinding). Who asks without a
// browser is not concerned.
func protect(next http.Handler) http.Handler {
	deny := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusForbidden, map[string]string{"error": "refused: a page of another origin must not do this"})
	})
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(deny)
	guarded := origins.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		browser := r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
		if browser && r.Method != http.MethodGet && r.Method != http.MethodHead && !ours(r.Host) {
			deny(w, r)
			return
		}
		guarded.ServeHTTP(w, r)
	})
}

// ours reports whether a Host cannot be another's: an address, or the name
// of this machine.
func ours(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	_, err := netip.ParseAddr(host)
	return err == nil || host == "localhost"
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // a client that left needs no answer
}
