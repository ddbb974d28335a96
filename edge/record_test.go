package edge

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/site"
)

// TestRecordIsOneLine: whatever a client sends, a record is one line of
// JSON.
func TestRecordIsOneLine(t *testing.T) {
	u := serving(t, &site.Site{Origin: answering("x")}, &site.Site{})
	var out bytes.Buffer
	u.conf.Access = &out
	u.ask(func(r *exchange.Request) {
		r.Header.Add("user-agent", "a\r\n{\"status\":200}\x00\x1b[31m\"\xff")
		r.Path = "/\n"
	})
	if lines := strings.Count(out.String(), "\n"); lines != 1 || !json.Valid(out.Bytes()) {
		t.Errorf("%d lines: %q", lines, out.String())
	}
}

// TestLooksAtItselfAreNotRecorded: only those that are answered as such.
func TestLooksAtItselfAreNotRecorded(t *testing.T) {
	for _, tc := range []struct {
		host  string
		self  bool
		lines int
	}{{"self.invalid", true, 0}, {"self.invalid", false, 1}, {"", true, 1}} {
		u := serving(t, &site.Site{Origin: answering("x")}, &site.Site{})
		var out bytes.Buffer
		u.conf.Access, u.conf.Self = &out, func(netip.Addr) bool { return tc.self }
		u.ask(func(r *exchange.Request) { r.Host = cmp.Or(tc.host, r.Host) })
		if got := strings.Count(out.String(), "\n"); got != tc.lines {
			t.Errorf("%+v: %d lines", tc, got)
		}
	}
}
