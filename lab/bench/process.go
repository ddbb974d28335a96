package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// The processors: servers have one to themselves, and clients, the origin
// and whoever else is awake share the other.
const (
	serverCPU = "0"
	clientCPU = "1"
)

const (
	startLimit = 20 * time.Second
	stopLimit  = 10 * time.Second
	poll       = 20 * time.Millisecond
)

// process is a program that runs until stop; it leads a process group of
// its own, so that its children end with it.
type process struct {
	name string
	log  string // file with all that it printed
	cmd  *exec.Cmd

	waiting sync.WaitGroup
	ended   chan struct{}
}

// launch starts a program on one processor. What it prints goes to a file
// in dir.
func launch(dir, name, cpu string, args, env []string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own descriptor
	p := &process{name: name, log: log.Name(), ended: make(chan struct{})}
	p.cmd = exec.Command("taskset", append([]string{"-c", cpu}, args...)...) // becomes the program itself
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	ownGroup(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.waiting.Go(func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.ended)
	})
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// await polls until ok says so; it fails when the process ends before, or
// takes too long.
func (p *process) await(ctx context.Context, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for !ok() {
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended at once:\n%s", p.name, p.output())
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w\n%s", p.name, ctx.Err(), p.output())
		case <-time.After(poll):
		}
	}
	return nil
}

// listening reports whether somebody accepts connections at an address.
func listening(addr string) func() bool {
	return func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
}

// output is the end of what it printed.
func (p *process) output() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	const enough = 4 << 10
	return bytes.TrimSpace(text[max(0, len(text)-enough):])
}

// stop ends the process and its children, politely first.
func (p *process) stop() {
	signalGroup(p.cmd.Process, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
	}
	signalGroup(p.cmd.Process, syscall.SIGKILL)
	p.waiting.Wait()
}

// need finds a program of a Debian package.
func need(name, pkg string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("needs the command %s (Debian package %s)", name, pkg)
}
