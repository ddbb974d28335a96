package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

const (
	// fleetReady is how long nodes may take until they serve, and fleetMeet
	// how long until they have found one another.
	fleetReady = 30 * time.Second
	fleetMeet  = 10 * time.Second
	fleetPoll  = 50 * time.Millisecond
	// fleetDrain is how long nodes may take to end, and fleetStop how long
	// all of it may.
	fleetDrain = 15 * time.Second
	fleetStop  = fleetDrain + 5*time.Second
)

// fleet runs nodes as processes of this same program. One that ends is not
// started again: its end is what others are to get over.
type fleet struct {
	// Static after newFleet.
	children []*child
	console  *console
	err      *shared
	exits    chan *child // of all that were started
}

// child is one process.
type child struct {
	node devNode
	cmd  *exec.Cmd

	// Set before it is sent on fleet.exits.
	err error

	ended bool // owned by fleet.run
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func newFleet(nodes []devNode, c *console) (*fleet, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, to run it as a node: %w", err)
	}
	f := &fleet{console: c, err: &shared{out: c.err}, exits: make(chan *child, len(nodes))}
	for _, n := range nodes {
		f.add(n, exec.Command(exe, "run", "--config", n.file(), "--fallback", "demo"))
	}
	return f, nil
}

// add has cmd be a node. It comes before run.
func (f *fleet) add(n devNode, cmd *exec.Cmd) {
	said := &prefixed{out: f.err, prefix: n.name + ": "}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = time.Second
	dieWithParent(cmd)
	f.children = append(f.children, &child{node: n, cmd: cmd})
}

// run starts the nodes, watches them until ctx is done, and stops them.
func (f *fleet) run(ctx context.Context, ready func()) error {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer f.stop()
	for _, c := range f.children {
		if err := c.cmd.Start(); err != nil {
			c.ended = true
			return fmt.Errorf("start %s: %w", c.node.name, err)
		}
		waiting.Go(func() {
			c.err = c.cmd.Wait()
			f.exits <- c
		})
	}
	if err := f.start(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	ready()
	for left := len(f.children); left > 0; {
		select {
		case <-ctx.Done():
			return nil
		case c := <-f.exits:
			c.ended = true
			left--
			_, _ = fmt.Fprintf(f.err, "landfall: %s (pid %d) has ended: %s; %d nodes go on\n", c.node.name, c.pid(), c.how(), left)
		}
	}
	return errors.New("every node has ended")
}

// how says how a process has ended.
func (c *child) how() string {
	if c.err != nil {
		return c.err.Error()
	}
	return "by itself"
}

// start waits until all nodes serve, and then a while for them to meet.
func (f *fleet) start(ctx context.Context) error {
	for _, stage := range []struct {
		patience time.Duration
		enough   func(context.Context, *child) bool
		late     string
	}{
		{fleetReady, f.serves, "does not serve after %v; its file is %s"},
		{fleetMeet, f.meets, ""},
	} {
		limit, cancel := context.WithTimeout(ctx, stage.patience)
		late, err := f.await(limit, stage.enough)
		cancel()
		switch {
		case err != nil || ctx.Err() != nil:
			return err
		case late != nil && stage.late != "":
			return fmt.Errorf("%s "+stage.late, late.node.name, stage.patience, late.node.file())
		case late != nil:
			_, _ = fmt.Fprintf(f.err, "landfall: %s has not found all others after %v; see landfall node list --admin %s\n", late.node.name, stage.patience, late.node.admin)
		}
	}
	return nil
}

// await polls until it is enough for every node. It returns the one that it
// is not enough for when ctx is done.
func (f *fleet) await(ctx context.Context, enough func(context.Context, *child) bool) (late *child, err error) {
	poll := time.NewTicker(fleetPoll)
	defer poll.Stop()
	for _, c := range f.children {
		for !enough(ctx, c) {
			select {
			case <-poll.C:
			case <-ctx.Done():
				return c, nil
			case e := <-f.exits:
				e.ended = true
				return nil, fmt.Errorf("%s did not start: %s; its file is %s", e.node.name, e.how(), e.node.file())
			}
		}
	}
	return nil, nil
}

// serves reports whether a node says that it is ready.
func (f *fleet) serves(ctx context.Context, c *child) bool {
	var verdict struct{}
	return newAPI(c.node.admin.String(), f.console).get(ctx, "/healthz/ready", &verdict) == nil
}

// meets reports whether a node knows all of them to be active.
func (f *fleet) meets(ctx context.Context, c *child) bool {
	var all pop.Nodes
	if newAPI(c.node.admin.String(), f.console).get(ctx, "/v1/nodes", &all) != nil {
		return false
	}
	active := 0
	for _, n := range all.Nodes {
		if n.L7 == "active" {
			active++
		}
	}
	return active >= len(f.children)
}

// stop asks the nodes that are left to end, also one that was suspended, and
// kills those that do not.
func (f *fleet) stop() {
	left := 0
	for _, c := range f.children {
		if c.ended || c.cmd.Process == nil {
			continue
		}
		left++
		_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = c.cmd.Process.Signal(syscall.SIGCONT)
	}
	limit := time.NewTimer(fleetDrain)
	defer limit.Stop()
	for left > 0 {
		select {
		case c := <-f.exits:
			c.ended = true
			left--
		case <-limit.C:
			for _, c := range f.children {
				if !c.ended && c.cmd.Process != nil {
					_ = c.cmd.Process.Kill() // it may have ended
				}
			}
		}
	}
}

// greeting is a part that says something once all before it is ready.
func greeting(say func()) func(context.Context, func()) error {
	return func(ctx context.Context, ready func()) error {
		say()
		ready()
		<-ctx.Done()
		return nil
	}
}

// shared is a writer that several write to, whole lines at a time.
type shared struct {
	// Guarded by mu.
	mu  sync.Mutex
	out io.Writer
}

func (s *shared) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

// maxLine bounds what is gathered of a line, in bytes.
const maxLine = 64 << 10

// prefixed puts a name in front of each line. One goroutine writes.
type prefixed struct {
	out    io.Writer
	prefix string
	line   []byte
}

// Write implements io.Writer. What the terminal does not take is lost: the
// node goes on.
func (p *prefixed) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		b = rest
		p.line = append(p.line, line...)
		if whole || len(p.line) > maxLine {
			_, _ = p.out.Write(append(append([]byte(p.prefix), p.line...), '\n'))
			p.line = p.line[:0]
		}
	}
	return n, nil
}
