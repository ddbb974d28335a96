package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// cell is one row of the result: what one server cost in each round.
type cell struct {
	subject
	server  string
	base    string // the server that it is compared with, "" for none
	samples map[int]sample
	failed  string // the first thing that went wrong, "" for nothing
}

// sample is one window.
type sample struct {
	cost   float64 // CPU microseconds per request, or bytes per connection
	kernel float64 // share of it that was spent in the kernel
	rate   float64 // requests per second
	busy   float64 // share of the server's processor that was used
}

// bench is one run of all rounds.
type bench struct {
	// Static after newBench.
	opts  options
	stage *stage
	proc  proc
	gen   generators

	// Owned by run.
	servers map[post]*server // those that run throughout
	cells   []*cell
}

// post is what a server runs for: one does for all kinds, but for those
// that are relayed.
type post struct {
	name    string
	relayed bool
}

func (b *bench) server(k kind, name string) *server { return b.servers[post{name, k.relayed}] }

func newBench(ctx context.Context, s *stage, o options) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return nil, err
		}
	}
	b := &bench{
		opts: o, stage: s, proc: proc{os.DirFS("/proc")},
		gen:     generators{self: self, tlsConf: s.tlsConf(), window: o.window},
		servers: map[post]*server{},
	}
	for _, k := range o.kinds {
		for _, name := range o.servers(k) {
			if b.server(k, name) != nil {
				continue
			}
			if b.servers[post{name, k.relayed}], err = s.start(ctx, k, name, o); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// run measures every cell in each round, the servers of one subject right
// after each other.
func (b *bench) run(ctx context.Context) ([]*cell, error) {
	if err := b.check(ctx); err != nil {
		return nil, err
	}
	for _, k := range b.opts.kinds {
		b.warmUp(ctx, k)
	}
	for round := range b.opts.rounds {
		for _, k := range b.opts.kinds {
			progress("round %d of %d: %s", round+1, b.opts.rounds, k.name)
			for _, path := range b.opts.pathsOf(k) {
				for _, name := range b.opts.servers(k) {
					if err := b.measure(ctx, round, k, b.cell(k, path, name)); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	// What was no hit any more at the end was none in some window.
	return b.cells, b.check(ctx)
}

// warmUp runs a short window that does not count on every server: heaps
// grow, connections to the origin open. What fails here fails later too.
func (b *bench) warmUp(ctx context.Context, k kind) {
	if k.load == nil {
		return
	}
	gen := b.gen
	gen.window = time.Second
	for _, name := range b.opts.servers(k) {
		_, _ = k.load(gen, ctx, b.server(k, name), b.opts.pathsOf(k)[0])
	}
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}

// cell finds a row, or adds it.
func (b *bench) cell(k kind, path, name string) *cell {
	want := subject{k.name, path}
	i := slices.IndexFunc(b.cells, func(c *cell) bool { return c.subject == want && c.server == name })
	if i >= 0 {
		return b.cells[i]
	}
	c := &cell{subject: want, server: name, base: b.opts.base(k), samples: map[int]sample{}}
	b.cells = append(b.cells, c)
	return c
}

// measure takes one sample. A window that fails costs its cell, not the
// run.
func (b *bench) measure(ctx context.Context, round int, k kind, c *cell) (err error) {
	var (
		s      sample
		failed string
	)
	if k.load == nil {
		s, err = b.idle(ctx, k, c)
	} else {
		s, failed, err = b.window(ctx, round, k, c)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errNotRelayed):
		return err
	case err != nil:
		failed = err.Error()
	default:
		c.samples[round] = s
	}
	if failed != "" {
		failed = strings.TrimSpace(failed)
		progress("%s %s %s: %s", c.kind, c.path, c.server, failed)
		if c.failed == "" {
			c.failed = failed
		}
	}
	return nil
}

// window loads a server for one window.
func (b *bench) window(ctx context.Context, round int, k kind, c *cell) (s sample, failed string, err error) {
	srv := b.server(k, c.server)
	verify, err := srv.relayed(ctx)
	if err != nil {
		return s, "", err
	}
	profiled := b.profile(ctx, round, c, srv)
	start := time.Now()
	before, err := b.cpu(srv)
	if err != nil {
		return s, "", err
	}
	l, err := k.load(b.gen, ctx, srv, c.path)
	after, err2 := b.cpu(srv)
	took := time.Since(start)
	if err := errors.Join(err, err2, profiled(), verify(l.Requests)); err != nil {
		return s, "", err
	}
	if l.Requests == 0 || l.Seconds == 0 {
		return s, "", fmt.Errorf("no request succeeded: %s", l.Failed)
	}
	used := after.minus(before)
	return sample{
		cost:   float64(used.total().Nanoseconds()) / 1000 / float64(l.Requests),
		kernel: share(used.kernel, used.total()),
		rate:   float64(l.Requests) / l.Seconds,
		busy:   share(used.total(), took),
	}, l.Failed, nil
}

// cpu is what a server has used, and the one that it relays to.
func (b *bench) cpu(srv *server) (sum cpuTime, err error) {
	for _, one := range srv.all() {
		used, err := b.proc.cpu(one.process.pid())
		if err != nil {
			return sum, err
		}
		sum = sum.plus(used)
	}
	return sum, nil
}

func share(part, whole time.Duration) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
