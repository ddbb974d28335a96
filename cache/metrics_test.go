package cache

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

func TestMetrics(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	core, logs := observer.New(zap.InfoLevel)
	s, err := New(Config{Memory: 4 << 20, Limits: limits.Default(), Log: zap.New(core)}, nil, r)
	if err != nil {
		t.Fatal(err)
	}
	stop := runStore(t, s)
	o := always(200, "x", "cache-control: max-age=60")
	read(s.Serve(t.Context(), get("/"), plain, o))
	read(s.Serve(t.Context(), get("/"), plain, o))
	read(s.Serve(t.Context(), get("/p"), plain, always(200, "x", "cache-control: private")))
	read(s.Serve(t.Context(), get("/q"), plain, fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		panic("oops")
	})))
	stop()
	for _, c := range []struct {
		name string
		got  prometheus.Collector
		want float64
	}{
		{"hits", s.met.requests[exchange.Hit], 1},
		{"misses", s.met.requests[exchange.Miss], 2},
		{"failures", s.met.requests[exchange.Failed], 1},
		{"private", s.met.refusals[refusedPrivate], 1},
		{"panics", s.met.panics, 1},
		{"fills", s.met.fills, 0},
		{"waiting", s.met.waiting, 0},
	} {
		if got := testutil.ToFloat64(c.got); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	if n := logs.FilterMessage("panic in a fill").Len(); n != 1 {
		t.Errorf("%d panics logged", n)
	}
	if _, err := New(Config{Memory: 4 << 20, Limits: limits.Default()}, nil, r); err == nil {
		t.Error("two stores share a registry")
	}
}

func TestNewRefusesTooLittle(t *testing.T) {
	if _, err := New(Config{Memory: MinMemory - 1, Limits: limits.Default()}, nil, nil); err == nil {
		t.Error("no error")
	}
}
