package http1

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// handler is what a test answers with. Without serve, the answer says what
// was asked, and a refusal is answered as the edge does.
type handler struct {
	hit   func(*exchange.Request, *exchange.Stored) bool
	sent  func(*exchange.Request, *exchange.Stored, int64, exchange.Cause)
	serve func(context.Context, exchange.Writer, *exchange.Request)

	mu sync.Mutex
	// Guarded by mu.
	asked []string // what came through ServeExchange, a line each
}

func (h *handler) Hit(r *exchange.Request, s *exchange.Stored) bool {
	return h.hit != nil && h.hit(r, s)
}

func (h *handler) Sent(r *exchange.Request, s *exchange.Stored, n int64, why exchange.Cause) {
	if h.sent != nil {
		h.sent(r, s, n, why)
	}
}

func (h *handler) ServeExchange(ctx context.Context, w exchange.Writer, r *exchange.Request) {
	line := r.Method + " " + r.Host + " " + r.Path + r.Query
	if r.Refused != exchange.Admitted {
		line = r.Refused.String()
	}
	h.mu.Lock()
	h.asked = append(h.asked, line)
	h.mu.Unlock()
	switch {
	case r.Refused != exchange.Admitted:
		reply(w, r, r.Refused.Status(), r.Refused.String())
	case h.serve != nil:
		h.serve(ctx, w, r)
	default:
		reply(w, r, 200, line)
	}
	if r.Body != nil {
		_ = w.Flush()
		_ = r.Body.Close()
	}
}

func (h *handler) lines() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

func reply(w exchange.Writer, r *exchange.Request, status int, text string) {
	if w.Head(status, exchange.Header{{Name: "x-a", Value: "b"}}, int64(len(text))) == nil && r.Method != "HEAD" {
		_, _ = io.WriteString(w, text)
	}
}

// session is a server's end of a connection, and the client's.
type session struct {
	*Conn
	client   *memConn
	server   *memConn
	counters *limits.Counters
	inFlight *atomic.Int64
	done     chan struct{}
}

// open serves a connection in memory. It ends with the test.
func open(t testing.TB, h exchange.Handler, change func(*Config)) *session {
	t.Helper()
	conf := Config{
		Handler: h, Limits: limits.Default(), Counters: &limits.Counters{},
		Log: zap.NewNop(), InFlight: &atomic.Int64{},
	}
	if change != nil {
		change(&conf)
	}
	server, client := newMemory(64 << 10)
	p := &wire.Plain{Conn: wire.NewConn(server, false, wire.Pace{Stall: conf.Limits.BodyStall, Rate: conf.Limits.MinRate})}
	s := &session{
		Conn:   New(conf, nil).Conn(p, exchange.Request{Scheme: "http"}),
		client: client, server: server, counters: conf.Counters, inFlight: conf.InFlight,
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		s.Serve(context.Background())
	}()
	t.Cleanup(func() {
		_ = client.Close()
		<-s.done
		if n := s.inFlight.Load(); n != 0 {
			t.Errorf("%d exchanges are counted after the end", n)
		}
	})
	return s
}

// say sends text as it is.
func (s *session) say(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(s.client, text); err != nil {
		t.Fatalf("send %.40q: %v", text, err)
	}
}

// rest returns all that comes until the connection ends.
func (s *session) rest() string {
	b, _ := io.ReadAll(s.client) // a reset is an end, too
	return string(b)
}

// statuses returns the status codes of the responses in text, which are to
// GET, and whether the last said that the connection closes.
func statuses(t testing.TB, text string) (codes []int, closes bool) {
	t.Helper()
	in := bufio.NewReader(strings.NewReader(text))
	for {
		if _, err := in.Peek(1); err != nil {
			return codes, closes
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Fatalf("%v in the content of %q", err, text)
		}
		codes, closes = append(codes, resp.StatusCode), resp.Close
	}
}

// soon is within every limit of time.
const soon = 10 * time.Millisecond
