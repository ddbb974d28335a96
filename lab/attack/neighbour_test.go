package attack

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// protocols are the versions that ordinary clients speak here.
var protocols = []string{"h1", "h2", "h3"}

// browser is an ordinary client of one protocol, by net/http, that reaches
// the node under any name.
func browser(t testing.TB, n *node, proto string) *http.Client {
	t.Helper()
	conf := &tls.Config{RootCAs: n.roots}
	if proto == "h3" {
		rt := &http3.Transport{TLSClientConfig: conf, Dial: func(ctx context.Context, _ string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
			return quic.DialAddrEarly(ctx, n.https, tlsConf, conf)
		}}
		t.Cleanup(func() { _ = rt.Close() })
		return &http.Client{Transport: rt}
	}
	rt := &http.Transport{
		TLSClientConfig: conf, ForceAttemptHTTP2: proto == "h2", DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, n.https)
		},
	}
	t.Cleanup(rt.CloseIdleConnections)
	return &http.Client{Transport: rt}
}

// fetch gets a URL, and says what is wrong with the answer.
func fetch(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != 200 || !strings.Contains(string(body), "saw GET ")) {
		err = fmt.Errorf("status %d, content %.80q", resp.StatusCode, body)
	}
	return err
}

// ordinaryService fetches through the node over each protocol, from both
// sites.
func ordinaryService(t *testing.T, n *node, when string) {
	t.Helper()
	for _, proto := range protocols {
		for i, site := range []string{cachedSite, passedSite} {
			url := fmt.Sprintf("https://zq%05dz%s/%s-%s", 90000+i, site, proto, when)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			if err := fetch(ctx, browser(t, n, proto), url); err != nil {
				t.Errorf("%s the attacks: %s over %s: %v", when, url, proto, err)
			}
			cancel()
		}
	}
}

// neighbour is a client that uses the node while others attack it.
type neighbour struct {
	pulse *pulse
	stop  chan struct{}
	wait  sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	asked   int
	failed  []string
	slow    int // answers that took over a second
	longest time.Duration
}

// startNeighbour asks ten times a second over each protocol.
func startNeighbour(t *testing.T, n *node, p *pulse) *neighbour {
	b := &neighbour{pulse: p, stop: make(chan struct{})}
	for i, proto := range protocols {
		c := browser(t, n, proto)
		site := []string{cachedSite, passedSite, cachedSite}[i]
		b.wait.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-b.stop:
					return
				case <-tick.C:
				}
				start := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				err := fetch(ctx, c, fmt.Sprintf("https://zq90002z%s/%s-%d", site, proto, i%8))
				cancel()
				b.note(proto, err, start)
			}
		})
	}
	return b
}

// note takes down an answer. While the machine stands still nobody can be
// served.
func (b *neighbour) note(proto string, err error, asked time.Time) {
	took := b.pulse.fair(asked)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	b.longest = max(b.longest, took)
	if took > time.Second {
		b.slow++
	}
	if err != nil && !b.pulse.void(asked) {
		b.failed = append(b.failed, proto+": "+err.Error())
	}
}

// judge ends the neighbour: every answer must have come, and all but one
// in twenty within a second, on a machine that also runs the attackers.
// With the race detector, which makes all of them several times slower,
// it is one in five.
func (b *neighbour) judge(t *testing.T) {
	t.Helper()
	close(b.stop)
	b.wait.Wait()
	t.Logf("the neighbour asked %d times; longest %v, %d over a second", b.asked, b.longest, b.slow)
	if len(b.failed) > 0 {
		t.Errorf("the neighbour was not served: %d of %d, first %s", len(b.failed), b.asked, b.failed[0])
	}
	share := 20
	if raceDetector {
		share = 5
	}
	if b.asked == 0 || b.slow*share > b.asked {
		t.Errorf("the neighbour waited over a second for %d of %d answers", b.slow, b.asked)
	}
}
