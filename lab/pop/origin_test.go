package pop

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// origin is what all nodes fetch from: several endpoints that are one
// server behind, and take down who asked for what.
//
//	/o/NAME?ttl=S&size=N   an object, fresh for S seconds; POST makes a new version of it
//	/s/echo                never stored: names endpoint and node
//	/s/poll                the same, after a while
//	/s/upload              takes a body and answers with its hash
//	/s/ws                  a WebSocket that echoes, after it has said what /s/echo says
//
// The field X-Session says which session a request is of, whatever tells
// the nodes, and X-Came-To which node the client has come to.
type origin struct {
	endpoints []*httptest.Server

	// Guarded by mu.
	mu       sync.Mutex
	fetches  map[string]int // of objects, by name
	versions map[string]int
	visits   map[string][]visit // by session
	gate     chan struct{}      // objects wait for it to close; nil while it is open
	fetched  func(name string)  // told of each fetch, under mu; may be nil
}

// visit is one request of a session at the origin.
type visit struct {
	node     string // that asked
	endpoint string // that was asked
	cameTo   string // the node that the client has come to
	what     string // method and path
	at       time.Time
}

// newOrigin starts an origin on loopback, where the nodes are.
func newOrigin(t testing.TB, endpoints int) *origin {
	t.Helper()
	return newOriginOn(t, endpoints, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })
}

func newOriginOn(t testing.TB, endpoints int, listen func() (net.Listener, error)) *origin {
	t.Helper()
	o := &origin{fetches: map[string]int{}, versions: map[string]int{}, visits: map[string][]visit{}}
	for i := range endpoints {
		name := fmt.Sprintf("e%d", i)
		mux := http.NewServeMux()
		mux.HandleFunc("GET /o/{name}", o.object)
		mux.HandleFunc("POST /o/{name}", o.renew)
		mux.HandleFunc("/s/{what}", func(w http.ResponseWriter, r *http.Request) { o.session(w, r, name) })
		ln, err := listen()
		must(t, err)
		s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: mux}}
		s.Start()
		t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
		o.endpoints = append(o.endpoints, s)
	}
	return o
}

// urls are the endpoints as a site document names them.
func (o *origin) urls() (urls []string) {
	for i, s := range o.endpoints {
		urls = append(urls, fmt.Sprintf("{ name: e%d, url: %q }", i, "http://"+s.Listener.Addr().String()))
	}
	return urls
}

// nodeOf is the node that a request came from: it is the last to name
// itself in CDN-Loop.
func nodeOf(r *http.Request) string {
	all := strings.Join(r.Header.Values("Cdn-Loop"), ", ")
	if i := strings.LastIndex(all, "node="); i >= 0 {
		return all[i+len("node="):]
	}
	return "?"
}

// content is what an object with a name has in it, in a version.
func content(name string, version, size int) string {
	line := fmt.Sprintf("%s version %d\n", name, version)
	return strings.Repeat(line, size/len(line)+1)
}

func (o *origin) object(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	o.mu.Lock()
	o.fetches[name]++
	if o.fetched != nil {
		o.fetched(name)
	}
	gate := o.gate
	o.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	o.mu.Lock()
	version := o.versions[name]
	o.mu.Unlock()
	number := func(field string, fallback int) int {
		if n, err := strconv.Atoi(r.FormValue(field)); err == nil {
			return n
		}
		return fallback
	}
	w.Header().Set("Cache-Control", fmt.Sprintf("max-age=%d", number("ttl", 3600)))
	w.Header().Set("X-Version", strconv.Itoa(version))
	w.Header().Set("X-Made", strconv.FormatInt(time.Now().UnixNano(), 10))
	_, _ = io.WriteString(w, content(name, version, number("size", 1000)))
}

// renew makes a new version of an object.
func (o *origin) renew(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	o.mu.Lock()
	o.versions[r.PathValue("name")]++
	o.mu.Unlock()
	w.Header().Set("Cache-Control", "no-store")
}

// hold makes objects wait until release is called.
func (o *origin) hold() (release func()) {
	gate := make(chan struct{})
	o.mu.Lock()
	o.gate = gate
	o.mu.Unlock()
	return sync.OnceFunc(func() {
		o.mu.Lock()
		o.gate = nil
		o.mu.Unlock()
		close(gate)
	})
}

// nameOf is the name of the object of a URL.
func nameOf(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

// count is how often an object was fetched.
func (o *origin) count(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fetches[name]
}

// visited returns a session's requests so far.
func (o *origin) visited(session string) []visit {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.visits[session])
}

// session answers what is not stored.
func (o *origin) session(w http.ResponseWriter, r *http.Request, endpoint string) {
	v := visit{node: nodeOf(r), endpoint: endpoint, cameTo: r.Header.Get("X-Came-To"), what: r.Method + " " + r.URL.Path, at: time.Now()}
	if session := r.Header.Get("X-Session"); session != "" {
		o.mu.Lock()
		o.visits[session] = append(o.visits[session], v)
		o.mu.Unlock()
	}
	w.Header().Set("Cache-Control", "no-store")
	place := v.endpoint + " " + v.node
	switch r.PathValue("what") {
	case "upload":
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = io.WriteString(w, hex.EncodeToString(sum.Sum(nil)))
	case "poll":
		select {
		case <-time.After(200 * time.Millisecond):
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, place)
	case "ws":
		echo(w, r, place)
	default:
		_, _ = io.WriteString(w, place)
	}
}

// echo greets and then says everything again.
func echo(w http.ResponseWriter, r *http.Request, greeting string) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	if c.Write(r.Context(), websocket.MessageText, []byte(greeting)) != nil {
		return
	}
	for {
		kind, text, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, text) != nil {
			return
		}
	}
}
