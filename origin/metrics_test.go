package origin

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	met := NewMetrics(reg)
	s := script(t, func(n int, c *peer) {
		for {
			head, err := c.head()
			if err != nil {
				return
			}
			if strings.Contains(head, "/cut") {
				c.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
				return
			}
			c.say(ok)
		}
	})
	o, err := New(config(t, s.url), nil, met)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.closeIdle)
	mustFetch(t, o, get("/"))
	if n := testutil.ToFloat64(o.endpoints[0].met.connections); n != 1 {
		t.Errorf("%v connections", n)
	}
	mustFetch(t, o, get("/"))
	_, _, err = fetch(t, o, get("/cut"))
	wantCause(t, err, exchange.HTTPResponseIncomplete)
	for cause, want := range map[exchange.Cause]float64{exchange.NoCause: 2, exchange.HTTPResponseIncomplete: 1, exchange.ConnectionRefused: 0} {
		if got := testutil.ToFloat64(o.endpoints[0].met.results[cause]); got != want {
			t.Errorf("result %q counted %v times, want %v", cause, got, want)
		}
	}
	if n, err := testutil.GatherAndCount(reg, "landfall_origin_connect_seconds", "landfall_origin_first_byte_seconds"); err != nil || n != 2 {
		t.Errorf("%d histograms, %v", n, err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
}
