package attack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

const (
	// slowEach is how many clients there are of each kind of slowness.
	slowEach = 256
	// slowLimits are shorter than the node's own, so that the test is. An
	// endpoint has room for all slow bodies and readers: how an origin's
	// connections are shared out is no matter of this test.
	slowLimits = `limits: { header_time: 2s, body_stall: 2s, handshake_time: 8s, idle_time: 30s, conns_per_client: 4096, endpoint_conns: 2048 }`
	// slowPatience is when a client that is not cut counts as one that
	// never will be.
	slowPatience = 24 * time.Second // of time that the machine runs
)

// slowClient is a client on an open connection. It is slow until it is
// cut; an error says that it was not.
type slowClient func(p *pulse) error

var errNotCut = errors.New("was not cut")

// slowKind is one way of being slow (CVE-2007-6750 and its like).
type slowKind struct {
	name string
	// open makes client i: every other one speaks HTTP/2 where that makes
	// a difference.
	open func(n *node, host string, i int) (slowClient, error)
}

var slowKinds = []slowKind{
	{"heads", slowHead},
	{"bodies", slowBody},
	{"readers", slowReader},
	{"handshakes", slowHandshake},
}

// TestSlowClients lets all kinds loose at once. Each client is cut, memory
// stays bounded, and an ordinary client notices nothing.
func TestSlowClients(t *testing.T) {
	o := startOrigin(t)
	huge := large(slowObject)
	o.script("zq80000z", func(r *request) answer {
		if r.method == "GET" {
			return huge(r)
		}
		return answer{}
	})
	n := startNode(t, o.addr, slowLimits)
	ordinaryService(t, n, "before")
	before, _ := n.memory(t)

	clients := openSlow(t, n)
	p := startPulse(t)
	neighbour := startNeighbour(t, n, p)
	failures := make([]failure, len(slowKinds))
	var running sync.WaitGroup
	for kind, list := range clients {
		for i, c := range list {
			running.Go(func() {
				if err := c(p); err != nil {
					failures[kind].note(i, err)
				}
			})
		}
	}
	running.Wait()
	neighbour.judge(t)
	for kind := range failures {
		if f := &failures[kind]; f.times > 0 {
			t.Errorf("%d of %d slow %s: first %v", f.times, slowEach, slowKinds[kind].name, f.first)
		}
	}
	now, peak := n.memory(t)
	t.Logf("memory %d MiB before, %d MiB now, %d MiB at most", before>>20, now>>20, peak>>20)
	if grew := peak - before; grew > memoryBound(128<<20) {
		t.Errorf("memory grew by %d MiB", grew>>20)
	}
	ordinaryService(t, n, "after")
	if text := n.panicked(); text != "" {
		t.Errorf("the node panicked: %s", text)
	}
}

// failure is what went wrong with the clients of one kind.
type failure struct {
	mu    sync.Mutex
	times int
	first error
}

func (f *failure) note(i int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.times++; f.times == 1 {
		f.first = fmt.Errorf("client %d: %w", i, err)
	}
}

// openSlow connects all clients before any is slow, a few at a time: it
// is no test of how fast a handshake is. Half-open handshakes come last,
// for their time runs from the start.
func openSlow(t *testing.T, n *node) [][]slowClient {
	t.Helper()
	clients := make([][]slowClient, len(slowKinds))
	for kind := range slowKinds {
		clients[kind] = make([]slowClient, slowEach)
		var openers sync.WaitGroup
		places := make(chan int)
		for range side {
			openers.Go(func() {
				for i := range places {
					c, err := slowKinds[kind].open(n, hostOf(80000, i%16 < 12), i)
					if err != nil {
						c = func(*pulse) error { return err }
					}
					clients[kind][i] = c
				}
			})
		}
		for i := range slowEach {
			places <- i
		}
		close(places)
		openers.Wait()
	}
	return clients
}

// dribble sends again and again, until what ended says so or patience is
// over.
func dribble(p *pulse, every time.Duration, send func(), ended func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for start := time.Now(); p.fair(start) < slowPatience; <-tick.C {
		if ended() {
			return nil
		}
		send()
	}
	return errNotCut
}

func (h *h1client) isEnded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended
}

func (h *h1client) hangUp() {
	_ = h.c.Close()
	h.reader.Wait()
}

// isCut reports whether a stream or its connection was ended, or the
// request refused.
func (h *h2client) isCut(stream uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.replies[stream]
	return h.ended || r != nil && (r.reset || r.status >= 400)
}

func (h *h2client) hangUp() {
	_ = h.c.Close()
	h.reader.Wait()
}

// slowHead sends a request's head byte by byte.
func slowHead(n *node, host string, i int) (slowClient, error) {
	if i%2 == 0 {
		h, err := dialH1(n, host, false)
		if err != nil {
			return nil, err
		}
		return func(p *pulse) error {
			defer h.hangUp()
			h.send("GET /slow HTTP/1.1\r\nHost: {host}\r\nX-A: ")
			return dribble(p, 400*time.Millisecond, func() { h.send("a") }, h.isEnded)
		}, nil
	}
	h, err := dialH2(n, host)
	if err != nil {
		return nil, err
	}
	return func(p *pulse) error {
		defer h.hangUp()
		h.await(1)
		block := h.block(append(request2("GET", "/slow"), repeated(100, "x", "y")...)...)
		h.frame(http2.FrameHeaders, flagEndStream, 1, block[:40])
		next := 40
		return dribble(p, 400*time.Millisecond, func() {
			h.frame(http2.FrameContinuation, 0, 1, block[next:next+1])
			next++
		}, func() bool { return h.isCut(1) })
	}, nil
}

// slowBody sends a request's content byte by byte.
func slowBody(n *node, host string, i int) (slowClient, error) {
	if i%2 == 0 {
		h, err := dialH1(n, host, false)
		if err != nil {
			return nil, err
		}
		return func(p *pulse) error {
			defer h.hangUp()
			h.send(head(fmt.Sprintf("POST /slow%d HTTP/1.1", i), "Content-Length: 1000"))
			return dribble(p, time.Second, func() { h.send("a") }, h.isEnded)
		}, nil
	}
	h, err := dialH2(n, host)
	if err != nil {
		return nil, err
	}
	return func(p *pulse) error {
		defer h.hangUp()
		h.headers(1, false, request2("POST", fmt.Sprintf("/slow%d", i))...)
		return dribble(p, time.Second, func() { h.data(1, false, "a") }, func() bool { return h.isCut(1) })
	}, nil
}

// slowObject is what slow readers ask for: more than the kernel's buffers
// of a connection take, or the node would be done with it.
const slowObject = 4 << 20

// slowReader asks for slowObject and takes nothing, or little, of it.
func slowReader(n *node, host string, i int) (slowClient, error) {
	if i%2 == 0 {
		return slowReaderH1(n, host, i%4 == 0)
	}
	h, err := connectH2(n, host)
	if err != nil {
		return nil, err
	}
	h.hush()
	h.preface(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
	few := i%4 == 1
	return func(p *pulse) error {
		defer h.hangUp()
		h.headers(1, true, request2("GET", "/large")...)
		return dribble(p, 500*time.Millisecond, func() {
			if few {
				h.frame(http2.FrameWindowUpdate, 0, 1, uint32s(50))
			}
		}, func() bool { return h.isCut(1) })
	}, nil
}

// slowReaderH1 has a small receive buffer, which stays full.
func slowReaderH1(n *node, host string, few bool) (slowClient, error) {
	d := net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) (err error) {
		return c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := d.Dial("tcp", n.http)
	if err != nil {
		return nil, err
	}
	return func(p *pulse) error {
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, texts(host).Replace(head("GET /large HTTP/1.1")))
		var got taken
		buf := make([]byte, 64)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		// Whether the node has given up shows only in what can still be read
		// in the end: not all of the content.
		for start := time.Now(); p.fair(start) < 2*slowPatience/3; <-tick.C {
			if few {
				_ = c.SetReadDeadline(time.Now().Add(time.Second)) // of an open connection
				m, err := c.Read(buf)
				_, _ = got.Write(buf[:m]) // to memory
				if err != nil && !isTimeout(err) {
					return nil
				}
			}
		}
		_ = c.SetReadDeadline(time.Now().Add(slowPatience)) // of an open connection
		_, err := io.Copy(&got, c)
		if strings.HasPrefix(got.first, "HTTP/1.1 50") {
			return nil // so busy that it was refused
		}
		if isTimeout(err) || got.n >= slowObject {
			return fmt.Errorf("%w: read %d bytes that begin with %.100q, the connection open: %v", errNotCut, got.n, got.first, isTimeout(err))
		}
		return nil
	}, nil
}

// taken counts what is written to it and keeps the beginning.
type taken struct {
	n     int
	first string
}

// Write implements io.Writer.
func (t *taken) Write(p []byte) (int, error) {
	t.n += len(p)
	if room := 100 - len(t.first); room > 0 {
		t.first += string(p[:min(room, len(p))])
	}
	return len(p), nil
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// slowHandshake sends the first bytes of a ClientHello.
func slowHandshake(n *node, _ string, i int) (slowClient, error) {
	c, err := net.DialTimeout("tcp", n.https, patience)
	if err != nil {
		return nil, err
	}
	return func(*pulse) error {
		defer func() { _ = c.Close() }()
		hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
		_, _ = io.WriteString(c, hello[:1+i%len(hello)])        // shows in the read
		_ = c.SetReadDeadline(time.Now().Add(2 * slowPatience)) // of an open connection
		if _, err := io.Copy(io.Discard, c); isTimeout(err) {
			return errNotCut
		}
		return nil
	}, nil
}
