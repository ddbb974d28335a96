package cache

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// fillFunc is a Filler made of a function.
type fillFunc func(ctx context.Context, r *exchange.Request) (*exchange.Response, error)

func (f fillFunc) Fill(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	return f(ctx, r)
}

// origin is a scripted Filler that keeps what it was asked.
type origin struct {
	mu     sync.Mutex
	asked  []*exchange.Request
	answer func(ctx context.Context, n int, r *exchange.Request) (*exchange.Response, error)
}

func (o *origin) Fill(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	o.mu.Lock()
	o.asked = append(o.asked, r)
	n := len(o.asked)
	o.mu.Unlock()
	return o.answer(ctx, n, r)
}

func (o *origin) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked)
}

func (o *origin) request(i int) *exchange.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked[i]
}

// always is an origin that gives each request the same answer, made anew.
func always(status int, body string, fields ...string) *origin {
	return &origin{answer: func(context.Context, int, *exchange.Request) (*exchange.Response, error) {
		return reply(status, body, fields...), nil
	}}
}

// fields makes a Header of "name: value" lines.
func fields(lines ...string) exchange.Header {
	h := exchange.Header{}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

func reply(status int, body string, lines ...string) *exchange.Response {
	return &exchange.Response{
		Status: status, Header: fields(lines...),
		Body: io.NopCloser(strings.NewReader(body)), Length: int64(len(body)),
	}
}

// unsized takes the length away from a response.
func unsized(r *exchange.Response) *exchange.Response {
	r.Length = -1
	return r
}

// get is a request for https://example.com with the given target.
func get(target string, lines ...string) *exchange.Request {
	path, query, has := strings.Cut(target, "?")
	if has {
		query = "?" + query
	}
	return &exchange.Request{
		Proto: exchange.HTTP11, Method: "GET", Scheme: "https", Host: "example.com",
		Path: path, Query: query, Header: fields(lines...), Arrived: time.Now(),
	}
}

func with(method string, r *exchange.Request) *exchange.Request {
	r.Method = method
	return r
}

// rig is a running store in a synctest bubble.
type rig struct {
	*testing.T
	store  *Store
	limits *limits.Counters
	stop   func()
}

// bubble runs a test in virtual time against a store of 4 MiB.
func bubble(t *testing.T, f func(t rig)) { bubbleOf(t, 4<<20, limits.Default(), f) }

func bubbleOf(t *testing.T, memory int64, l limits.Limits, f func(t rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &limits.Counters{}
		s, err := New(Config{Memory: memory, Limits: l}, c, nil)
		if err != nil {
			t.Fatal(err)
		}
		stop := runStore(t, s)
		defer stop()
		f(rig{T: t, store: s, limits: c, stop: stop})
		synctest.Wait()
	})
}

// runStore runs s until the returned function is called, which waits.
func runStore(t testing.TB, s *Store) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Run(ctx, func() { close(ready) }) }()
	<-ready
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// answer is what a client saw of a result.
type answer struct {
	status  int
	outcome exchange.Outcome
	body    string
	header  exchange.Header
	report  Status
	err     error // of Serve, or of reading
}

func (r rig) serve(req *exchange.Request, p *Policy, f exchange.Filler) answer {
	r.Helper()
	return read(r.store.Serve(r.Context(), req, p, f))
}

func read(res *Result, err error) answer {
	if err != nil {
		return answer{err: err, outcome: exchange.Failed}
	}
	defer res.Response.Body.Close()
	b, err := io.ReadAll(res.Response.Body)
	return answer{
		status: res.Response.Status, outcome: res.Outcome, body: string(b),
		header: res.Response.Header, report: res.Status, err: err,
	}
}

func (a answer) want(t testing.TB, outcome exchange.Outcome, status int, body string) {
	t.Helper()
	if a.err != nil || a.outcome != outcome || a.status != status || a.body != body {
		t.Errorf("got %v %d %q, error %v; want %v %d %q", a.outcome, a.status, clip(a.body), a.err, outcome, status, clip(body))
	}
}

func (a answer) wantCause(t testing.TB, c exchange.Cause) {
	t.Helper()
	e, ok := errors.AsType[*exchange.Error](a.err)
	if !ok || e.Cause != c {
		t.Errorf("got %v, error %v; want cause %v", a.outcome, a.err, c)
	}
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "... (" + strconv.Itoa(len(s)) + ")"
	}
	return s
}

// start serves a request on its own goroutine.
func (r rig) start(req *exchange.Request, p *Policy, f exchange.Filler) <-chan answer {
	c := make(chan answer, 1)
	go func() { c <- r.serve(req, p, f) }()
	return c
}

// script is a body whose bytes a test gives piece by piece.
type script struct {
	ctx    context.Context
	pieces chan string
	failed chan error
	rest   string
	closed chan struct{}
	once   sync.Once
}

func newScript(ctx context.Context) *script {
	return &script{ctx: ctx, pieces: make(chan string, 64), failed: make(chan error, 1), closed: make(chan struct{})}
}

func (s *script) Read(p []byte) (int, error) {
	if s.rest == "" {
		select {
		case piece, ok := <-s.pieces:
			if !ok {
				return 0, io.EOF
			}
			s.rest = piece
		case err := <-s.failed:
			return 0, err
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *script) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

func (s *script) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

var plain = &Policy{Site: "test"}
