package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/lab/inet"
)

// needBFD is met by a lab whose nodes and borders watch one another.
const needBFD = "bfd"

// unmet returns what a scenario needs and is not there, "" when all is.
func (r *Runner) unmet(ctx context.Context, s *Scenario) (string, error) {
	for _, need := range s.Needs {
		if need.Text == needBFD {
			up, err := r.Lab.BFD(ctx)
			if err != nil {
				return "", err
			}
			if !up {
				return "needs BFD between nodes and borders", nil
			}
			continue
		}
		words := append(strings.Fields(need.Text)[1:], "--help")
		if exec.CommandContext(ctx, r.Lab.Program, words...).Run() != nil {
			return "needs the command " + need.Text, nil
		}
	}
	return "", nil
}

// changes are what is to be put back.
type changes struct {
	stopped, silent, killed, policies []string
	links                             []string
}

// act does something. A command is still running when it returns.
func (a *attempt) act(ctx context.Context, do *Action) (*running, error) {
	switch do.Verb {
	case "landfall":
		return a.command(ctx, do)
	case "silence":
		a.changed.silent = append(a.changed.silent, do.Words[0])
		return nil, a.lab.Silence(do.Words[0], true)
	case "unmute":
		return nil, a.lab.Silence(do.Words[0], false)
	case "link":
		a.changed.links = append(a.changed.links, do.Words[0])
		return nil, a.lab.Link(do.Words[0], do.Words[1] == "up")
	case "origin":
		return nil, a.origin(do.Words[0] == "up")
	case "border":
		a.changed.policies = append(a.changed.policies, do.Words[0])
		return nil, a.lab.SetPolicy(ctx, do.Words[0], do.Policy)
	case "start":
		return nil, a.start(ctx, do.Words[0])
	}
	if do.Verb == "stop" {
		a.changed.stopped = append(a.changed.stopped, do.Words[0])
	} else if do.Verb != "cont" {
		a.changed.killed = append(a.changed.killed, do.Words[0])
	}
	return nil, a.lab.Signal(ctx, do.Words[0], strings.ToUpper(do.Verb))
}

// startTime bounds how long a node that was asked to end may take to do so.
const startTime = 20 * time.Second

// start starts a node once it has ended.
func (a *attempt) start(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		pids, err := a.lab.Pids(ctx)
		if err != nil {
			return err
		}
		if pids[node] == 0 {
			return a.lab.Start(ctx, node)
		}
		if pause(ctx, checkPoll) != nil {
			return fmt.Errorf("%s still runs, as process %d; kill or term it before", node, pids[node])
		}
	}
}

// origin takes all links of the origin's network down, or brings them up.
func (a *attempt) origin(up bool) (err error) {
	for _, k := range a.lab.Plan.Links {
		if k.Right == "o" {
			a.changed.links = append(a.changed.links, k.Name())
			err = errors.Join(err, a.lab.Link(k.Name(), up))
		}
	}
	return err
}

// running is a command of the program.
type running struct {
	do     *Action
	cancel context.CancelFunc
	done   chan struct{}

	// Set before done is closed.
	out  bytes.Buffer
	err  error
	took time.Duration
}

// command starts the program as an operator does, on a node.
func (a *attempt) command(ctx context.Context, do *Action) (*running, error) {
	at := do.At
	if at == "" {
		at = a.lab.Asked(do.Words...)
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := a.lab.Node(at).Command(ctx, a.lab.Program, do.Words...)
	r := &running{do: do, cancel: cancel, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &r.out, &r.out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	a.commanding.Go(func() {
		defer close(r.done)
		r.err = cmd.Wait()
		r.took = time.Since(began)
	})
	return r, nil
}

// ended waits for a command, and adds a row of how it ended.
func (a *attempt) ended(ctx context.Context, r *running) bool {
	select {
	case <-r.done:
	case <-ctx.Done():
		r.cancel()
		<-r.done
	}
	r.cancel()
	code := 0
	var exit *exec.ExitError
	if errors.As(r.err, &exit) {
		code = exit.ExitCode()
	} else if r.err != nil {
		code = -1
	}
	row := Row{What: r.do.Text, Must: "exit code " + codes(r.do.Exit), Measured: fmt.Sprintf("exit code %d after %v", code, r.took.Round(time.Millisecond)), OK: slices.Contains(r.do.Exit, code)}
	if !row.OK {
		row.Measured += fmt.Sprintf(": %q", lastLines(r.out.String(), 3))
	}
	a.rows = append(a.rows, row)
	return row.OK
}

func codes(list []int) string {
	words := make([]string, len(list))
	for i, code := range list {
		words[i] = itoa(code)
	}
	return strings.Join(words, " or ")
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// join waits for the commands in the background.
func (a *attempt) join(ctx context.Context) error {
	for _, r := range a.commands {
		a.ended(ctx, r)
	}
	a.commands = nil
	return ctx.Err()
}

// restore puts back what the scenario changed, and waits until the lab is as
// it should be.
func (a *attempt) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restoreTime)
	defer cancel()
	var errs []error
	for _, name := range a.changed.stopped {
		_ = a.lab.Signal(ctx, name, "CONT") // one that was killed too cannot go on
	}
	for _, name := range unique(a.changed.silent) {
		errs = append(errs, a.lab.Silence(name, false))
	}
	for _, name := range unique(a.changed.links) {
		errs = append(errs, a.lab.Link(name, !a.lab.Plan.Link(name).Spare))
	}
	for _, pop := range unique(a.changed.policies) {
		errs = append(errs, a.lab.SetPolicy(ctx, pop, inet.Policy{}))
	}
	errs = append(errs, a.revive(ctx), a.takeBack(ctx))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return a.lab.Settle(ctx)
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// revive starts the nodes that have ended.
func (a *attempt) revive(ctx context.Context) error {
	pids, err := a.lab.Pids(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range a.lab.Plan.Nodes {
		if pids[n.Name] == 0 {
			errs = append(errs, a.lab.Start(ctx, n.Name))
		}
	}
	return errors.Join(errs...)
}

// takeBack undoes what commands of the scenario ordered.
func (a *attempt) takeBack(ctx context.Context) error {
	for _, s := range a.scenario.Steps {
		if s.Do != nil && s.Do.Verb == "landfall" {
			return a.lab.TakeBack(ctx)
		}
	}
	return nil
}
