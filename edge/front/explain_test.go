package front

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// TestSocketErrorsSayWhatToDo: each error names the address, and what an
// operator can do.
func TestSocketErrorsSayWhatToDo(t *testing.T) {
	addr := netip.MustParseAddrPort("192.0.2.1:443")
	for err, says := range map[error]string{
		syscall.EADDRINUSE:    "in use",
		syscall.EACCES:        "CAP_NET_BIND_SERVICE",
		syscall.EADDRNOTAVAIL: "no such address",
		syscall.EMFILE:        "too many open files",
	} {
		got := explain("udp", addr, fmt.Errorf("listen: %w", err)).Error()
		if !strings.Contains(got, says) || !strings.Contains(got, addr.String()) {
			t.Errorf("%v: %q does not say %q and the address", err, got, says)
		}
	}
}
