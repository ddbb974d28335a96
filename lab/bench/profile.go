package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// profile takes a CPU profile of a server, and of the one that it relays to,
// during the window that begins, when one was asked for and they have an
// address for it. The window is over when the returned function has returned.
func (b *bench) profile(ctx context.Context, round int, c *cell, srv *server) (wait func() error) {
	if b.opts.profiles == "" || srv.admin == "" {
		return func() error { return nil }
	}
	from := fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(b.opts.window.Seconds()))
	all := srv.all()
	var (
		taking sync.WaitGroup
		errs   = make([]error, len(all))
	)
	for i, one := range all {
		name := c.server
		if i > 0 {
			name += "-owner"
		}
		file := filepath.Join(b.opts.profiles, fmt.Sprintf("%s-%s-%s-%d.pprof", name, c.kind, filepath.Base(c.path), round+1))
		taking.Go(func() {
			text, err := one.operator(ctx, from)
			if err == nil {
				err = os.WriteFile(file, text, 0o644)
			}
			errs[i] = err
		})
	}
	return func() error { taking.Wait(); return errors.Join(errs...) }
}
