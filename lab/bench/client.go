package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// loader is the bench's own client, a process of its own: new connections,
// misses, HTTP/3, idle connections.
type loader struct {
	// Static after parsing.
	mode, addr, path string
	conns, streams   int
	life             time.Duration
	resume, mlkem    bool
	list             string   // file of paths that are asked for in turn, "" for path alone
	paths            []string // its lines
	from             int64    // where in it to begin

	requests, resumed, failed atomic.Int64
	next                      atomic.Int64 // number of the next URL that nobody has asked for

	mu    sync.Mutex
	cause error // of the first failure; guarded by mu
}

// clientMain is the client's main: it prints a load as JSON.
func clientMain(args []string) int {
	var l loader
	f := flag.NewFlagSet("bench client", flag.ContinueOnError)
	f.StringVar(&l.mode, "mode", "", "hs, miss, h2, h3, idle-h1 or idle-h2")
	f.StringVar(&l.addr, "addr", "", "address to connect to")
	f.StringVar(&l.path, "path", "/", "path to ask for")
	f.IntVar(&l.conns, "c", 1, "connections")
	f.IntVar(&l.streams, "m", 1, "streams of a connection")
	f.DurationVar(&l.life, "d", time.Second, "how long to load")
	f.BoolVar(&l.resume, "resume", false, "resume sessions")
	f.StringVar(&l.list, "list", "", "file of paths to ask for in turn, with -mode h2")
	f.Int64Var(&l.from, "from", 0, "line of -list to begin after")
	f.BoolVar(&l.mlkem, "mlkem", false, "agree on keys with X25519MLKEM768")
	if err := f.Parse(args); err != nil {
		return exitUnfit
	}
	if err := l.run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitUnfit
	}
	return exitDone
}

func (l *loader) run(in io.Reader, out io.Writer) error {
	l.paths = []string{l.path}
	if l.list != "" {
		text, err := os.ReadFile(l.list)
		if err != nil {
			return err
		}
		l.paths = strings.Fields(string(text))
	}
	start := time.Now()
	l.next.Store(start.UnixNano()) // no two runs ask for the same
	ctx, cancel := context.WithDeadline(context.Background(), start.Add(l.life))
	defer cancel()
	switch l.mode {
	case "hs":
		l.each(ctx, l.handshakes)
	case "miss":
		l.each(ctx, l.misses)
	case "h2":
		l.next.Store(l.from)
		l.each(ctx, l.streamsOfH2)
	case "h3":
		l.each(ctx, l.streamsOfConn)
	case "idle-h1", "idle-h2":
		return l.hold(in, out)
	default:
		return fmt.Errorf("unknown mode %q", l.mode)
	}
	return json.NewEncoder(out).Encode(l.result(time.Since(start)))
}

// each runs a function for each connection.
func (l *loader) each(ctx context.Context, f func(context.Context)) {
	var all sync.WaitGroup
	for range l.conns {
		all.Go(func() { f(ctx) })
	}
	all.Wait()
}

func (l *loader) result(took time.Duration) load {
	r := load{Requests: int(l.requests.Load()), Seconds: took.Seconds(), Resumed: int(l.resumed.Load())}
	if n := l.failed.Load(); n > 0 {
		r.Failed = fmt.Sprintf("%d failed, the first: %v", n, l.cause)
	} else if l.resume && r.Resumed*10 < (r.Requests-l.conns)*9 { // the first of each has no ticket
		r.Failed = fmt.Sprintf("%d of %d resumed", r.Resumed, r.Requests)
	}
	return r
}

// count notes how a request went, and reports whether it went well. What
// the end of the run cuts off is neither.
func (l *loader) count(ctx context.Context, err error) bool {
	switch {
	case err == nil:
		l.requests.Add(1)
		return true
	case ctx.Err() != nil:
		return false
	}
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = err
	}
	return false
}

// tlsConfig trusts anybody: check has compared the answers before.
func (l *loader) tlsConfig(proto string) *tls.Config {
	c := &tls.Config{InsecureSkipVerify: true, ServerName: host, NextProtos: []string{proto}, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
	if l.mlkem {
		c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768}
	}
	return c
}

// conn is an HTTP/1.1 connection.
type conn struct {
	*tls.Conn
	in *bufio.Reader
}

// dial connects and shakes hands. Every server must agree on the same
// suite, or their costs could not be compared.
func (l *loader) dial(c *tls.Config) (*conn, error) {
	raw, err := net.Dial("tcp", l.addr)
	if err != nil {
		return nil, err
	}
	t := tls.Client(raw, c)
	err = t.Handshake()
	if s := t.ConnectionState(); err == nil && s.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		err = errors.New("server chose " + tls.CipherSuiteName(s.CipherSuite))
	}
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &conn{Conn: t, in: bufio.NewReader(t)}, nil
}

// get asks for a target and reads the answer whole.
func (c *conn) get(target string) error {
	if _, err := io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// handshakes opens a connection for each request, one after the other.
func (l *loader) handshakes(ctx context.Context) {
	c := l.tlsConfig("http/1.1")
	if l.resume {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	for ctx.Err() == nil {
		l.count(ctx, l.handshake(c))
	}
}

func (l *loader) handshake(conf *tls.Config) error {
	c, err := l.dial(conf)
	if err != nil {
		return err
	}
	// No TIME_WAIT: thousands of them would use up the ports.
	defer func() { _ = c.NetConn().(*net.TCPConn).SetLinger(0); _ = c.Close() }()
	if c.ConnectionState().DidResume {
		l.resumed.Add(1)
	}
	return c.get(l.path)
}

// misses asks for URLs that nobody has asked for, on one connection.
func (l *loader) misses(ctx context.Context) {
	c, err := l.dial(l.tlsConfig("http/1.1"))
	if err != nil {
		l.count(ctx, err)
		return
	}
	defer func() { _ = c.Close() }()
	for ctx.Err() == nil {
		if !l.count(ctx, c.get(l.path+"?"+strconv.FormatInt(l.next.Add(1), 36))) {
			return
		}
	}
}
