package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// idle measures a server of its own: memory that an earlier measurement
// freed would hide what this one takes.
func (b *bench) idle(ctx context.Context, k kind, c *cell) (s sample, err error) {
	srv, err := b.stage.start(ctx, k, c.server, b.opts)
	if err != nil {
		return s, err
	}
	defer b.stage.end(srv.process)
	if err := b.checkServer(ctx, k, srv); err != nil {
		return s, err
	}
	before, err := b.settled(ctx, srv)
	if err != nil {
		return s, err
	}
	release, err := b.gen.hold(ctx, k, srv, c.path, b.opts.conns)
	if err != nil {
		return s, err
	}
	after, err := b.settled(ctx, srv)
	if err2 := release(); err == nil {
		err = err2
	}
	return sample{cost: float64(after-before) / float64(b.opts.conns)}, err
}

// settled is the memory of a server once it has come to rest.
func (b *bench) settled(ctx context.Context, srv *server) (int64, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(b.opts.settle):
	}
	return b.proc.pss(srv.process.pid())
}

// hold opens connections in a client that keeps them until release.
func (g generators) hold(ctx context.Context, k kind, s *server, path string, n int) (release func() error, err error) {
	cmd := g.command(ctx, g.self, "client", "-mode", k.name, "-addr", s.addr, "-path", path, "-c", strconv.Itoa(n))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	release = func() error {
		_ = in.Close() // ends it
		_, _ = io.Copy(io.Discard, out)
		return cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, holding) {
		_ = release()
		return nil, fmt.Errorf("client holds nothing: %s", bytes.TrimSpace(errs.Bytes()))
	}
	return release, nil
}
