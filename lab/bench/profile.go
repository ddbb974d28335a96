package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
)

// profile takes a CPU profile of a server during the window that begins,
// when one was asked for and the server has an address for it. The window
// is over when the returned function has returned.
func (b *bench) profile(ctx context.Context, round int, c *cell, srv *server) (wait func() error) {
	if b.opts.profiles == "" || srv.admin == "" {
		return func() error { return nil }
	}
	file := filepath.Join(b.opts.profiles, fmt.Sprintf("%s-%s-%s-%d.pprof", c.server, c.kind, filepath.Base(c.path), round+1))
	from := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", srv.admin, int(b.opts.window.Seconds()))
	var (
		taking sync.WaitGroup
		err    error
	)
	taking.Go(func() { err = download(ctx, from, file) })
	return func() error { taking.Wait(); return err }
}

// download saves what a URL answers.
func download(ctx context.Context, from, file string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s: %.200s", resp.Status, text)
	}
	return os.WriteFile(file, text, 0o644)
}
