package admin

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/internal/health"
)

// listen serves the admin side, with a handler that answers what changes
// something, until the test ends.
func listen(t *testing.T) string {
	t.Helper()
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), &health.Set{}, prometheus.NewRegistry(), zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	s.Handle("/v1/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "did "+r.Method) }))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addr().String()
}

// TestPagesChangeNothing: what a page of somebody else's makes a browser
// send is refused; an operator's own tools are not concerned.
func TestPagesChangeNothing(t *testing.T) {
	addr := listen(t)
	_, port, _ := strings.Cut(addr, ":")
	for _, tc := range []struct {
		name, method, host string
		fields             map[string]string
		status             int
	}{
		{"curl", "POST", "", nil, 200},
		{"curl by a name", "POST", "fra-1.mgmt.example:9080", nil, 200},
		{"our own page", "POST", "", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://" + addr}, 200},
		{"our own page by localhost", "POST", "localhost:" + port, map[string]string{"Origin": "http://localhost:" + port}, 200},
		{"our own page over IPv6", "POST", "[::1]:" + port, map[string]string{"Origin": "http://[::1]:" + port}, 200},
		{"another's page", "POST", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403},
		{"another's page in an old browser", "POST", "", map[string]string{"Origin": "https://evil.example"}, 403},
		{"another's page whose name leads here", "POST", "evil.example:" + port, map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example:" + port}, 403},
		{"the same by DELETE", "DELETE", "evil.example:" + port, map[string]string{"Origin": "http://evil.example:" + port}, 403},
		{"a link on another's page", "GET", "", map[string]string{"Sec-Fetch-Site": "cross-site"}, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequest(tc.method, "http://"+addr+"/v1/nodes/fra-1/drain", nil)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tc.fields {
				req.Header.Set(k, v)
			}
			req.Host = tc.host
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tc.status || (tc.status == 200) != (string(b) == "did "+tc.method) {
				t.Errorf("%d: %s", resp.StatusCode, b)
			}
		})
	}
}
