package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// TestBench runs everything once and briefly: it is about the bench, so
// the figures do not matter.
func TestBench(t *testing.T) {
	testneed.Linux(t)
	testneed.That(t, runtime.NumCPU() > 1, "two processors")
	for _, p := range [][2]string{{"nginx", "nginx-light"}, {"wrk", "wrk"}, {"h2load", "nghttp2-client"}, {"taskset", "util-linux"}} {
		testneed.Command(t, p[0], p[1])
	}
	o, err := parseOptions(strings.Fields("-rounds 1 -secs 1 -conns 10 -paths /o/1k -kinds h1,h2,h3,miss,relayed-h1,relayed-h2,idle-h2 -urls 30000 -caddy= -profile "+t.TempDir()), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	o.settle = time.Millisecond
	cells, err := measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(cells) != 13 {
		t.Errorf("%d rows, want two of each load and one of h3", len(cells))
	}
	for _, c := range cells {
		if c.failed != "" || len(c.samples) != 1 || c.kind != "idle-h2" && c.samples[0].cost <= 0 {
			t.Errorf("%s of %s: %+v, failed %q", c.kind, c.server, c.samples, c.failed)
		}
		if compared := c.server != c.base && c.base != ""; compared && c.kind != "idle-h2" && len(ratios(c, cells)) != 1 {
			t.Errorf("%s of %s has no ratio", c.kind, c.server)
		}
	}
	profiles, err := os.ReadDir(o.profiles)
	if err != nil || len(profiles) != 8 {
		t.Errorf("%d profiles, %v; want one for each window of each landfall", len(profiles), err)
	}
}
