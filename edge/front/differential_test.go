package front

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/nethttp"
)

// plan is one exchange: what a client asks and what it is answered.
type plan struct {
	method, target, host string
	header               http.Header
	body                 []byte
	length               int64 // -1: not announced
	trailer              string

	status   int
	answer   exchange.Header
	content  []byte
	announce bool
	ends     exchange.Header // the response's trailer
	pieces   int             // in how many writes the content comes
}

// planned makes valid requests and responses of every shape.
func planned(rng *rand.Rand) *plan {
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	p := &plan{
		method: pick("GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "M-SEARCH"),
		target: pick("/", "/a/b", "/a%2Fb;c", "//x", "/~u/", "/"+strings.Repeat("p", rng.IntN(3000))) + pick("", "?", "?q=1&&q=%zz", "?a?b=/"),
		host:   pick("shop.example", "SHOP.example.", "shop.example:8443"),
		header: http.Header{"User-Agent": {"differential"}, "Accept-Encoding": {"gzip"}},
		status: 200, pieces: 1 + rng.IntN(5), announce: rng.IntN(2) == 0, length: 0,
	}
	for i := range rng.IntN(20) {
		name := pick("X-A", "X-B", "Cookie", "Accept-Language", "x-"+strconv.Itoa(i))
		p.header[http.CanonicalHeaderKey(name)] = append(p.header[http.CanonicalHeaderKey(name)],
			pick("v", "a, b", "", "with\ttab", `"quoted \" text"`, "caf\xe9", strings.Repeat("l", rng.IntN(500))))
	}
	if p.method != "GET" && p.method != "HEAD" && p.method != "OPTIONS" && rng.IntN(4) > 0 {
		p.body = randomBytes(rng, rng.IntN(100_000))
		if p.length = int64(len(p.body)); rng.IntN(2) == 0 || len(p.body) == 0 {
			p.length = -1
			p.trailer = pick("", "sum")
		}
	}
	if p.content = randomBytes(rng, rng.IntN(3)*rng.IntN(200_000)); rng.IntN(5) == 0 {
		p.status = []int{204, 304, 404, 500, 302}[rng.IntN(5)]
	}
	if p.status == 204 || p.status == 304 {
		p.content, p.announce = nil, false
	}
	for i := range rng.IntN(12) {
		p.answer.Add(pick("content-type", "x-a", "set-cookie", "x-"+strconv.Itoa(i)), pick("v", "a, b", "", "text/plain; charset=utf-8"))
	}
	if !p.announce && p.status == 200 && rng.IntN(3) == 0 {
		p.ends = exchange.Header{{Name: "server-timing", Value: "a;dur=1"}}
	}
	return p
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// playing is a handler that plays plans and keeps what it was asked.
type playing struct {
	// Guarded by mu.
	mu    sync.Mutex
	plans map[string]*plan
	asked map[string]any
}

func (*playing) Hit(*exchange.Request, *exchange.Stored) bool { return false }

func (*playing) Sent(*exchange.Request, *exchange.Stored, int64, exchange.Cause) {}

// asked is what of a request must not depend on who read it.
type asked struct {
	Proto                                   exchange.Proto
	Method, Scheme, Host, Port, Path, Query string
	Upgrade, ServerName                     string
	Header, Trailer                         exchange.Header
	Length                                  int64
	HasBody                                 bool
	Body                                    string
	Failed                                  bool
	Refused                                 exchange.Refusal
}

// ServeExchange implements exchange.Handler.
func (h *playing) ServeExchange(_ context.Context, w exchange.Writer, r *exchange.Request) {
	a := asked{
		Proto: r.Proto, Method: r.Method, Scheme: r.Scheme, Host: r.Host, Port: r.Port, Path: r.Path, Query: r.Query,
		Upgrade: r.Upgrade, ServerName: r.TLS.ServerName, Header: comparable(r.Header), Length: r.Length, HasBody: r.Body != nil, Refused: r.Refused,
	}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		a.Body, a.Failed = digest(body), err != nil
		if r.Trailer != nil {
			a.Trailer = comparable(r.Trailer())
		}
		_ = r.Body.Close()
	}
	name := r.Header.Get("x-case")
	h.mu.Lock()
	h.asked[name] = a
	p := h.plans[name]
	h.mu.Unlock()
	if p == nil {
		w.Abort()
		return
	}
	length := int64(-1)
	if p.announce {
		length = int64(len(p.content))
	}
	if err := w.Head(p.status, p.answer.Clone(), length); err != nil || r.Method == "HEAD" {
		return
	}
	for chunk := range slices.Chunk(p.content, len(p.content)/p.pieces+1) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	if len(p.ends) > 0 {
		_ = w.Trailer(p.ends)
	}
}

// digest is short, for a difference that can be read.
func digest(b []byte) string { return fmt.Sprintf("%d bytes, %x", len(b), sha256.Sum256(b)) }

// comparable puts the fields that go further into one order.
func comparable(h exchange.Header) exchange.Header {
	h.JoinCookies()
	h = slices.DeleteFunc(h.Clone(), func(f exchange.Field) bool { return exchange.HopByHop(f.Name) })
	slices.SortStableFunc(h, func(a, b exchange.Field) int { return cmp.Compare(a.Name, b.Name) })
	if len(h) == 0 {
		return nil
	}
	return h
}

// answered is what of a response must not depend on who wrote it.
type answered struct {
	Status  int
	Header  http.Header
	Length  int64
	Body    string
	Trailer http.Header
	Failed  bool
}

func (p *plan) ask(t *testing.T, client *http.Client, base, name string) answered {
	t.Helper()
	var body io.Reader
	if p.body != nil {
		body = struct{ io.Reader }{bytes.NewReader(p.body)}
	}
	req, err := http.NewRequest(p.method, base+p.target, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.Header = p.host, p.header.Clone()
	req.Header.Set("X-Case", name)
	if p.body != nil {
		req.ContentLength = p.length
		if p.trailer != "" {
			req.Trailer = http.Header{"Server-Timing": {p.trailer}}
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return answered{Failed: true}
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	for _, own := range []string{"Date", "Connection", "Trailer"} {
		resp.Header.Del(own)
	}
	if p.status == http.StatusNotModified {
		resp.Header.Del("Content-Type") // net/http takes it away
	}
	if !p.announce {
		// net/http counts a short content by itself.
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
	}
	return answered{resp.StatusCode, resp.Header, resp.ContentLength, digest(text), resp.Trailer, err != nil}
}

// TestAsTheReference: what the handler is asked and what the client is
// answered is the same as with net/http's servers, for any valid exchange.
func TestAsTheReference(t *testing.T) {
	cert, roots := testCert(t)
	serverTLS := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}}
	ours, theirs := newPlaying(), newPlaying()
	reference, err := nethttp.Start(theirs, serverTLS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reference.Close() })
	front := start(t, nil, func(c *Config) { c.Handler, c.TLS = ours, serverTLS })
	client := &running{tls: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	for _, proto := range protos {
		t.Run(proto.String(), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(proto)))
			a, b := client.client(t, proto), client.client(t, proto)
			for i := range 150 {
				name := fmt.Sprintf("%v-%d", proto, i)
				p := planned(rng)
				ours.put(name, p)
				theirs.put(name, p)
				got := p.ask(t, a, front.url("https"), name)
				want := p.ask(t, b, "https://"+reference.Addr().String(), name)
				if diff := gocmp.Diff(theirs.got(name), ours.got(name)); diff != "" {
					t.Errorf("case %d, %s: asked otherwise than the reference (-) was: %s", i, p.method, diff)
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("case %d, %s: answered otherwise than by the reference (-): %s", i, p.method, diff)
				}
			}
		})
	}
}

func newPlaying() *playing {
	return &playing{plans: map[string]*plan{}, asked: map[string]any{}}
}

func (h *playing) put(name string, p *plan) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.plans[name] = p
}

func (h *playing) got(name string) any {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[name]
}
