package origin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// scripted is an origin that says exactly what a test tells it to.
type scripted struct {
	url string
	// serve is called with each connection, numbered from 0.
	serve func(n int, c *peer)

	mu       sync.Mutex
	requests []string // heads, as they came
}

// peer is the origin's side of one connection.
type peer struct {
	net.Conn
	br  *bufio.Reader
	log func(head string)
}

// head reads one request head.
func (p *peer) head() (string, error) {
	var b strings.Builder
	for {
		line, err := p.br.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String(), err
		}
		if line == "\r\n" {
			p.log(b.String())
			return b.String(), nil
		}
	}
}

func (p *peer) say(s string) { _, _ = io.WriteString(p.Conn, s) }

// ended waits for the other side to end the connection.
func (p *peer) ended() { _, _ = io.Copy(io.Discard, p.br) }

// script starts an origin.
func script(t *testing.T, serve func(n int, c *peer)) *scripted {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{url: "http://" + l.Addr().String(), serve: serve}
	var (
		wg    sync.WaitGroup
		conns []net.Conn // owned by the goroutine that accepts, until it has ended
	)
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			wg.Go(func() {
				defer c.Close()
				serve(n, s.peer(c))
			})
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-accepting
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
	})
	return s
}

func (s *scripted) peer(c net.Conn) *peer {
	return &peer{Conn: c, br: bufio.NewReader(c), log: func(head string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.requests = append(s.requests, head)
	}}
}

func (s *scripted) heads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.requests...)
}

// answer serves each connection the same answer to its first request, and
// then waits for its end.
func answer(t *testing.T, raw string) *scripted {
	return script(t, func(_ int, c *peer) {
		if _, err := c.head(); err == nil {
			c.say(raw)
			c.ended()
		}
	})
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// config is a valid Config with an endpoint for each URL.
func config(t *testing.T, urls ...string) Config {
	t.Helper()
	conf := Config{Site: "shop", Allow: loopback, Limits: limits.Default()}
	for i, u := range urls {
		conf.Endpoints = append(conf.Endpoints, EndpointConfig{Name: string(rune('a' + i)), URL: mustURL(t, u)})
	}
	return conf
}

func start(t *testing.T, conf Config) *Origin {
	t.Helper()
	o, err := New(conf, new(limits.Counters), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.closeIdle)
	return o
}

// get is a plain request.
func get(target string) *exchange.Request {
	path, query, found := strings.Cut(target, "?")
	if found {
		query = "?" + query
	}
	return &exchange.Request{
		Proto: exchange.HTTP11, Method: "GET", Scheme: "https", Host: "shop.example.com",
		Path: path, Query: query, Client: netip.MustParseAddrPort("192.0.2.7:4711"),
		Conn: new(exchange.Conn), ID: "req-1",
	}
}

func post(body string) *exchange.Request {
	r := get("/")
	r.Method = "POST"
	r.Body = io.NopCloser(strings.NewReader(body))
	r.Length = int64(len(body))
	return r
}

// fetch reads a whole response. The bound ends a wait that is in vain.
func fetch(t *testing.T, o *Origin, r *exchange.Request) (*exchange.Response, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	res, err := o.Fill(ctx, r)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(res.Body)
	if cerr := res.Body.Close(); cerr != nil {
		t.Errorf("Close: %v", cerr)
	}
	return res, string(b), err
}

func mustFetch(t *testing.T, o *Origin, r *exchange.Request) (*exchange.Response, string) {
	t.Helper()
	res, body, err := fetch(t, o, r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.Target(), err)
	}
	return res, body
}

// cause returns the cause of err, which must be an *exchange.Error.
func cause(t *testing.T, err error) exchange.Cause {
	t.Helper()
	var xe *exchange.Error
	if !errors.As(err, &xe) {
		t.Fatalf("error %v (%T) is no *exchange.Error", err, err)
	}
	return xe.Cause
}

func wantCause(t *testing.T, err error, want exchange.Cause) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %v", want)
	}
	if got := cause(t, err); got != want {
		t.Fatalf("cause %v, want %v (%v)", got, want, err)
	}
}

// atOrigin is how many requests of r's connection are counted as being at
// an origin.
func atOrigin(r *exchange.Request) int {
	for n := range 1000 {
		if r.Conn.AcquireOrigin(n + 1) {
			r.Conn.ReleaseOrigin()
			return n
		}
	}
	return -1
}

// memory is a network of scripted connections in memory, for virtual time.
type memory struct {
	wg    sync.WaitGroup
	dials atomic.Int32
	serve func(n int, c *peer)
	fail  func(n int) error // may refuse a connection
}

func (m *memory) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.ConnectStart != nil {
		trace.ConnectStart(network, addr) // as net.Dialer does
	}
	n := int(m.dials.Add(1)) - 1
	if m.fail != nil {
		if err := m.fail(n); err != nil {
			return nil, err
		}
	}
	ours, theirs := net.Pipe()
	m.wg.Go(func() {
		defer theirs.Close()
		m.serve(n, &peer{Conn: theirs, br: bufio.NewReader(theirs), log: func(string) {}})
	})
	return ours, nil
}

// inMemory makes an Origin whose endpoints are all served by m.
func inMemory(t *testing.T, conf Config, m *memory) *Origin {
	t.Helper()
	o, err := newOrigin(conf, new(limits.Counters), nil, m.dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.closeIdle()
		m.wg.Wait()
	})
	return o
}
