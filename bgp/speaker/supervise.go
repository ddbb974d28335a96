package speaker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/bgp"
)

const (
	// startLimit is how long a speaker may take to do its first order: a
	// process has to start and to open its sessions, and nothing is
	// announced that a hang would keep.
	startLimit = 5 * time.Second
	// applyLimit is how long it may take to do any other, before it is
	// killed. Its hang harms nobody meanwhile: the data plane serves.
	applyLimit = time.Second
	// endLimit is how long it may take to end once told to. It is less
	// than bgp.StopTime.
	endLimit = 2 * time.Second
)

// child is one life of a speaker. Owned by runOne.
type child struct {
	client  *Client
	process *Process
	frames  chan []byte // to the writer; holds one
	reports chan report // from the reader; closed when Stdout ends
	readErr error       // why it ended; published by that close
	work    sync.WaitGroup

	heard   bool   // a report came
	worked  bool   // it has done an order
	sent    uint64 // the edition of the last order sent
	problem string // the Error of the last report
	// due counts the beats since the last report that all is well. Beats
	// and not time, so that a data plane that was held up itself blames
	// nobody else for it.
	due int
}

// runOne starts a speaker and keeps it until ctx is done or it fails.
// When it returns, the process and all that served it are gone.
func (c *Client) runOne(ctx context.Context) error {
	p, err := c.cfg.Start()
	if err != nil {
		return err
	}
	c.cfg.Log.Info("speaker started", zap.Int("pid", p.PID))
	c.update(func(s *bgp.Status) { s.PID = p.PID })
	ch := &child{client: c, process: p, frames: make(chan []byte, 1), reports: make(chan report)}
	ch.work.Go(ch.write)
	ch.work.Go(ch.read)
	ch.work.Go(ch.forwardLog)
	err = ch.supervise(ctx)
	err = errors.Join(err, ch.end(ctx.Err() == nil))
	c.update(func(s *bgp.Status) {
		s.PID, s.AppliedGeneration, s.Announced = 0, 0, 0
		if c.seen = nil; ch.heard {
			c.seen = s.Peers
		}
		s.Peers = idlePeers(s.Peers)
		c.leaseBase = s.LeasesLost
	})
	return err
}

// supervise beats, takes reports and tells when the child has to go.
func (ch *child) supervise(ctx context.Context) error {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	ch.beat()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			if err := ch.overdue(); err != nil {
				return err
			}
			ch.client.release()
			ch.beat()
		case <-ch.client.wake:
			ch.beat()
		case r, ok := <-ch.reports:
			if !ok {
				return ch.readErr
			}
			if err := ch.take(r); err != nil {
				return err
			}
		}
	}
}

// beat renews the lease if the data plane works. A child that still has
// to read an earlier beat misses this one.
func (ch *child) beat() {
	c := ch.client
	if !c.cfg.Alive() {
		return
	}
	ch.due++
	c.mu.Lock()
	frame, edition := c.order, c.edition
	c.mu.Unlock()
	if edition == ch.sent {
		frame = c.repeat
	}
	select {
	case ch.frames <- frame:
		ch.sent = edition
		c.update(func(s *bgp.Status) { s.Beat = time.Now() })
	default:
	}
}

// take notes a report. A refusal ends the child for good.
func (ch *child) take(r report) error {
	c := ch.client
	ch.heard = true
	if r.Refused {
		return &refusedError{r.Error}
	}
	if r.Error != "" && r.Error != ch.problem {
		c.cfg.Log.Warn("speaker cannot do its order", zap.String("problem", r.Error))
	}
	ch.problem = r.Error
	well := false
	c.update(func(s *bgp.Status) {
		s.AppliedGeneration, s.Announced = r.Applied, r.Announced
		s.LeasesLost = c.leaseBase + r.LeasesLost
		if r.Peers != nil {
			s.Peers = c.peers(s.Peers, r.Peers)
		}
		well = r.Error == "" && r.Applied == s.WantedGeneration
	})
	if well {
		ch.due = 0
		ch.worked = ch.worked || r.Applied > 0
	}
	return nil
}

// overdue tells whether an order has been waiting for too long.
func (ch *child) overdue() error {
	limit := applyLimit
	if !ch.worked {
		limit = startLimit
	}
	if ch.due <= int(limit/beatEvery) {
		return nil
	}
	if ch.problem != "" {
		return fmt.Errorf("order not done for %v: %s", limit, ch.problem)
	}
	return fmt.Errorf("order not done for %v", limit)
}

// end ends the child, at once if it is lost, and waits for it.
func (ch *child) end(lost bool) error {
	close(ch.frames)
	limit := time.NewTimer(endLimit)
	defer limit.Stop()
	if lost {
		limit.Reset(0)
	}
	for gone := false; !gone; {
		select {
		case _, ok := <-ch.reports:
			gone = !ok
		case <-limit.C:
			ch.kill()
		}
	}
	ch.kill() // no matter if it is gone; it may have closed its output and live on
	ch.work.Wait()
	if err := ch.process.Wait(); err != nil {
		return fmt.Errorf("speaker, pid %d: %w", ch.process.PID, err)
	}
	return nil
}

func (ch *child) kill() {
	if err := ch.process.Kill(); err != nil {
		ch.client.cfg.Log.Debug("kill the speaker", zap.Error(err))
	}
}

// write hands orders to the child until there are no more. A child that
// stops reading blocks it until it is killed.
func (ch *child) write() {
	var failed error
	for frame := range ch.frames {
		if failed == nil {
			_, failed = ch.process.Stdin.Write(frame)
		}
	}
	if err := errors.Join(failed, ch.process.Stdin.Close()); err != nil {
		ch.client.cfg.Log.Debug("write to the speaker", zap.Error(err))
	}
}

func (ch *child) read() {
	defer close(ch.reports)
	for {
		var r report
		if err := readFrame(ch.process.Stdout, &r); err != nil {
			ch.readErr = fmt.Errorf("reports of the speaker ended: %w", err)
			return
		}
		ch.reports <- r
	}
}
