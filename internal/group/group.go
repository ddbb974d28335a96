// Package group starts the parts of a process in order and stops them in
// reverse. It owns their goroutines and waits for each; what a part does
// is the part's business.
package group

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Part is one long-running piece of a process.
type Part struct {
	Name string
	// Run works until its context is done. It calls ready once when the
	// parts after it may start.
	Run func(ctx context.Context, ready func()) error
	// Stop bounds how long Run may take to return once told to.
	Stop time.Duration
}

type exit struct {
	part int
	err  error
}

// Run starts each part once the one before it is ready, until ctx is done
// or a part returns; then it stops them in reverse order, each within its
// own bound, and returns what went wrong. Urgent, when closed, ends all
// waiting at once.
func Run(ctx context.Context, urgent <-chan struct{}, parts []Part) error {
	r := &run{parts: parts, exits: make(chan exit, len(parts)), done: make([]bool, len(parts))}
	err := r.start(ctx)
	if err == nil {
		select {
		case <-ctx.Done():
		case e := <-r.exits:
			err = r.ended(e)
		}
	}
	return errors.Join(err, r.stop(urgent))
}

type run struct {
	parts   []Part
	exits   chan exit
	cancels []context.CancelFunc // one for each started part
	done    []bool
}

func (r *run) start(ctx context.Context) error {
	for i, p := range r.parts {
		pctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r.cancels = append(r.cancels, cancel)
		readyC := make(chan struct{})
		go func() { r.exits <- exit{i, p.Run(pctx, func() { close(readyC) })} }()
		select {
		case <-readyC:
		case <-ctx.Done():
			return nil
		case e := <-r.exits:
			return r.ended(e)
		}
	}
	return nil
}

// ended notes a part that returned before it was told to.
func (r *run) ended(e exit) error {
	r.done[e.part] = true
	if e.err == nil {
		return fmt.Errorf("%s: stopped by itself", r.parts[e.part].Name)
	}
	return fmt.Errorf("%s: %w", r.parts[e.part].Name, e.err)
}

func (r *run) stop(urgent <-chan struct{}) (err error) {
	for i := len(r.cancels) - 1; i >= 0; i-- {
		r.cancels[i]()
		limit := time.NewTimer(r.parts[i].Stop)
		for !r.done[i] {
			select {
			case e := <-r.exits:
				r.done[e.part] = true
				if e.err != nil && !errors.Is(e.err, context.Canceled) {
					err = errors.Join(err, fmt.Errorf("%s: %w", r.parts[e.part].Name, e.err))
				}
			case <-limit.C:
				err = errors.Join(err, fmt.Errorf("%s: still running %v after it was told to stop", r.parts[i].Name, r.parts[i].Stop))
				r.done[i] = true
			case <-urgent:
				return errors.Join(err, fmt.Errorf("%s: cut off by a second signal", r.parts[i].Name))
			}
		}
		limit.Stop()
	}
	return err
}
