package http2

import (
	"net"
	"os/exec"
	"testing"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// TestH2spec has the conformance suite judge the server, also where it is
// stricter than the RFC.
func TestH2spec(t *testing.T) {
	path, err := exec.LookPath("h2spec")
	testneed.That(t, err == nil, "the command h2spec (go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible)")
	s, _ := testServer(t, &stub{}, nil)
	_, port, err := net.SplitHostPort(listen(t, s))
	if err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string][]string{"as written": nil, "strict": {"-S"}} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-h", "127.0.0.1", "-p", port, "-t", "-k", "-o", "5"}, more...)
			if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
