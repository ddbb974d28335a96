package pop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// protocols are what clients speak.
var protocols = []string{"h1", "h2", "h3"}

// patience is how long a client waits for one answer.
const patience = time.Minute

// transport speaks one protocol and goes to a node whatever the name in the
// URL. It is closed by the function that comes with it.
func (n *node) transport(proto string, conf *tls.Config) (http.RoundTripper, func()) {
	if conf == nil {
		conf = &tls.Config{RootCAs: n.pop.roots}
	}
	if proto == "h3" {
		// A node that is dead without a word is noticed soon, and one that
		// takes its time is not taken for dead.
		patient := &quic.Config{HandshakeIdleTimeout: patience / 2, MaxIdleTimeout: 6 * time.Second, KeepAlivePeriod: 2 * time.Second}
		rt := &http3.Transport{TLSClientConfig: conf, QUICConfig: patient, Dial: func(ctx context.Context, _ string, conf *tls.Config, qconf *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, n.https(), conf, qconf)
		}}
		return rt, func() { _ = rt.Close() }
	}
	rt := &http.Transport{
		TLSClientConfig: conf, ForceAttemptHTTP2: proto == "h2", DisableCompression: true, MaxIdleConnsPerHost: 1000,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return n.pop.dial(ctx, network, n.https())
		},
	}
	return rt, rt.CloseIdleConnections
}

// client is a client with connections of its own to a node.
func (n *node) client(t testing.TB, proto string) *http.Client {
	t.Helper()
	rt, closed := n.transport(proto, nil)
	t.Cleanup(closed)
	return &http.Client{Transport: rt, Timeout: patience}
}

// got is an answer, read whole.
type got struct {
	status int
	header http.Header
	body   string
}

// errCut is wrapped by the error of an answer that began and did not end.
// No node can give it a second time.
var errCut = errors.New("the answer was cut")

// fetch sends a request and reads the answer whole.
func fetch(c *http.Client, req *http.Request) (got, error) {
	resp, err := c.Do(req)
	if err != nil {
		return got{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		err = fmt.Errorf("%w: %w", errCut, err)
	}
	return got{resp.StatusCode, resp.Header, string(body)}, err
}

// get fetches a URL; anything but 200 fails the test.
func get(t testing.TB, c *http.Client, url string) got {
	t.Helper()
	return do(t, c, http.MethodGet, url, "")
}

func do(t testing.TB, c *http.Client, method, url, body string) got {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	must(t, err)
	g, err := fetch(c, req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	if g.status != http.StatusOK {
		t.Fatalf("%s %s: %d %v %s", method, url, g.status, g.header, g.body)
	}
	return g
}

// hit reports whether the node answered from its own store.
func (g got) hit() bool {
	return strings.HasPrefix(g.header.Get("Cache-Status"), "landfall; hit")
}
