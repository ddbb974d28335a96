package ladder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/bgp"
)

// ErrNotRunning is the error of an order to a node that is stopping.
var ErrNotRunning = errors.New("the node is stopping")

// retryEvery is how long a node that interlocks hold waits before it tries
// again.
const retryEvery = time.Second

// ordered is an order on its way to the loop.
type ordered struct {
	Order
	overrides []Override
	pardon    bool
	done      chan error // has room for one
}

// Order has the node obey an operator, with overrides that go into force
// first. It returns once the step is gone, a Refused when interlocks are in
// its way: then nothing has changed but the overrides.
func (a *Announcer) Order(ctx context.Context, o Order, overrides []Override) error {
	if o.Prepend < 0 || o.Prepend > bgp.MaxPrepend {
		return fmt.Errorf("prepend %d: expected 0 to %d", o.Prepend, bgp.MaxPrepend)
	}
	req := ordered{Order: o, overrides: overrides, pardon: o.Floor == bgp.Normal, done: make(chan error, 1)}
	select {
	case a.orders <- req:
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrNotRunning, ctx.Err())
	}
	select {
	case err := <-req.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Current returns what an operator wants now.
func (a *Announcer) Current() Order {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.order
}

// obey carries an order out. Owned by the loop.
func (a *Announcer) obey(ctx context.Context, o ordered) error {
	a.mu.Lock()
	for _, over := range o.overrides {
		a.overrides[over.Interlock] = over
		a.cfg.Log.Warn("interlock overridden", zap.String("interlock", string(over.Interlock)), zap.String("reason", over.Reason), zap.Time("until", over.Until))
	}
	before := a.order
	if o.pardon {
		a.state = a.state.Pardon()
	}
	a.order = o.Order
	d := a.decide(time.Now())
	a.mu.Unlock()

	if d.To > a.rung() && d.Step.leaves() && !d.Step.Auto {
		if err := a.descend(ctx, d); err != nil {
			a.mu.Lock()
			a.order = before
			a.mu.Unlock()
			return err
		}
	}
	a.cfg.Log.Info("operator's order", zap.Stringer("floor", o.Floor), zap.Bool("wide", o.Wide), zap.Int("prepend", o.Prepend), zap.String("reason", o.Reason))
	if a.cfg.Keep != nil {
		if err := a.cfg.Keep(o.Order); err != nil {
			a.cfg.Log.Error("the order will not outlive this process", zap.Error(err))
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if before.Prepend != o.Prepend {
		a.apply("")
	}
	return nil
}

func (a *Announcer) rung() bgp.Rung {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.Rung
}

// evaluate goes where the decision leads. Owned by the loop.
func (a *Announcer) evaluate(ctx context.Context) {
	if time.Now().Before(a.again) {
		return
	}
	a.mu.Lock()
	d := a.decide(time.Now())
	if d.To == a.state.Rung {
		a.mu.Unlock()
		return
	}
	if !d.Step.leaves() || d.To < a.state.Rung {
		a.move(d)
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	err := a.descend(ctx, d)
	var refused Refused
	if !errors.As(err, &refused) {
		return
	}
	a.again = time.Now().Add(retryEvery)
	if !d.Step.Auto || !harmless(refused) {
		return
	}
	// It may not go, and should not attract more than it has to.
	a.mu.Lock()
	defer a.mu.Unlock()
	if d.To = bgp.Deprefer; a.state.Rung < d.To {
		a.move(d)
	}
}

// harmless tells whether a node that is refused may make itself less
// preferred: not when it is the last one, and not when nothing may move.
func harmless(refused Refused) bool {
	return !slices.ContainsFunc(refused, func(r Refusal) bool {
		return r.Interlock != MinNodes && r.Interlock != WithdrawBudget && r.Interlock != MinPops
	})
}

// decide needs mu.
func (a *Announcer) decide(now time.Time) Decision {
	in := Input{Now: now, Results: a.results(), Order: a.order}
	in.Return = a.pass(Return(a.record(), &a.view, a.cfg.Rules, now), now)
	a.decision = a.state.Decide(in, a.cfg.Rules)
	if a.decision.To <= a.state.Rung {
		a.refusals = nil
	}
	return a.decision
}

// pass drops refusals that are overridden. It needs mu.
func (a *Announcer) pass(refusals []Refusal, now time.Time) []Refusal {
	return slices.DeleteFunc(refusals, func(r Refusal) bool {
		o, ok := a.overrides[r.Interlock]
		return ok && now.Before(o.Until)
	})
}

// descend goes down to where traffic has to go elsewhere, if the interlocks
// allow, on promises of others to stay. Owned by the loop.
func (a *Announcer) descend(ctx context.Context, d Decision) error {
	a.mu.Lock()
	now := time.Now()
	// What would be refused even if all promised needs no promise.
	refusals := a.pass(Judge(a.judged(), d.Step, &a.view, Record.serves, a.cfg.Rules, now), now)
	a.seq++
	ask := Ask{Node: a.cfg.Node, Pop: a.cfg.Pop, Life: a.life, Seq: a.seq, Wide: d.Step.Wide}
	if len(refusals) == 0 && !a.agreement.Begin(ask, now) {
		refusals = []Refusal{{Agreed, "this node has promised another one to stay until that has left; try again in a moment"}}
	}
	if len(refusals) > 0 {
		defer a.mu.Unlock()
		return a.refused(d, refusals)
	}
	a.stepping = true
	a.mu.Unlock()

	answers := a.ask(ctx, ask)

	a.mu.Lock()
	defer a.mu.Unlock()
	defer poke(a.tell) // others wait for what came of it
	a.stepping = false
	a.seq++
	if !a.agreement.End() {
		return a.refused(d, []Refusal{{Agreed, "another node steps down at this moment and goes first; try again"}})
	}
	promised := map[uint8]bool{}
	for _, answer := range answers {
		promised[answer.Node] = answer.Stays
	}
	now = time.Now()
	stays := func(r Record) bool { return r.serves() && promised[r.Node] }
	if refusals = a.pass(Judge(a.judged(), d.Step, &a.view, stays, a.cfg.Rules, now), now); len(refusals) > 0 {
		return a.refused(d, refusals)
	}
	a.refusals = nil
	a.move(d)
	return nil
}

// ask is done without mu.
func (a *Announcer) ask(ctx context.Context, ask Ask) []Answer {
	if a.cfg.Fleet == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	return a.cfg.Fleet.Ask(ctx, ask)
}

// refused notes and counts refusals; the log has those that are new. It
// needs mu.
func (a *Announcer) refused(d Decision, refusals []Refusal) error {
	for _, r := range refusals {
		a.met.refused(r.Interlock)
		if !slices.ContainsFunc(a.refusals, func(old Refusal) bool { return old.Interlock == r.Interlock }) {
			a.cfg.Log.Warn("step refused", zap.Stringer("from", a.state.Rung), zap.Stringer("to", d.To), zap.Bool("auto", d.Step.Auto),
				zap.String("interlock", string(r.Interlock)), zap.String("reason", r.Reason), zap.Strings("because", d.Reasons))
		}
	}
	a.refusals = refusals
	return Refused(refusals)
}

// move takes the step. It needs mu.
func (a *Announcer) move(d Decision) {
	now, from := time.Now(), a.state.Rung
	a.state = a.state.After(d, now, a.cfg.Rules)
	if a.state.Auto && a.state.Rung == bgp.Withdrawn {
		a.fell = now
	}
	a.met.stepped(d)
	a.cfg.Log.Info("announcing", zap.Stringer("from", from), zap.Stringer("rung", d.To), zap.Int("prefixes", len(a.cfg.BGP.VIPs)),
		zap.Bool("auto", d.Step.Auto), zap.Strings("because", d.Reasons))
	a.apply("")
	poke(a.tell)
}

// apply hands what is to be announced to the speaker. It needs mu. What is
// wrong with it was found when the configuration was read; the speaker's
// word on it is logged and shows in its status.
func (a *Announcer) apply(message string) {
	a.generation++
	err := a.cfg.Speaker.Apply(bgp.Desired{
		Generation: a.generation, Rung: a.state.Rung, Message: message,
		Announce: a.cfg.BGP.Announcement(a.state.Rung, bgp.Attrs{Prepend: a.order.Prepend}),
	})
	if err != nil {
		a.cfg.Log.Error("the speaker refuses what is to be announced", zap.Error(err))
	}
}

// leave ends the announcement, whatever the interlocks say: the process
// ends. It reports whether the speaker has confirmed that. Owned by Run.
func (a *Announcer) leave(ctx context.Context) (confirmed bool) {
	const message = "node is shutting down"
	ctx = context.WithoutCancel(ctx)
	a.mu.Lock()
	now, from := time.Now(), a.state.Rung
	step := Step{To: bgp.Withdrawn}
	if from < bgp.Withdrawn {
		for _, r := range Judge(a.judged(), step, &a.view, Record.serves, a.cfg.Rules, now) {
			a.cfg.Log.Warn("this node stops although an interlock is against it", zap.String("interlock", string(r.Interlock)), zap.String("reason", r.Reason))
		}
	}
	a.leaving = true
	if from < bgp.Gshut {
		a.state.Rung = bgp.Gshut
		a.apply(message)
	}
	a.mu.Unlock()
	if from < bgp.Gshut && a.cfg.Rules.Farewell > 0 {
		a.exchangeOnce(ctx)
		<-time.After(a.cfg.Rules.Farewell)
	}
	a.mu.Lock()
	a.cfg.Log.Info("withdrawing", zap.Int("prefixes", len(a.cfg.BGP.VIPs)))
	a.state.Rung, a.state.Since = bgp.Withdrawn, time.Now()
	a.apply(message)
	generation := a.generation
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, a.cfg.WithdrawLimit)
	defer cancel()
	if err := a.cfg.Speaker.Applied(ctx, generation); err != nil {
		a.cfg.Log.Error("withdrawal not confirmed, ending the speaker", zap.Error(err))
		return false
	}
	return true
}
