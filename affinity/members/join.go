package members

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap"
)

// joinsAtOnce bounds the addresses that are tried at the same time.
const joinsAtOnce = 8

// lookup returns the addresses of a name.
type lookup func(ctx context.Context, host string) ([]netip.Addr, error)

func orSystem(l lookup) lookup {
	if l != nil {
		return l
	}
	return func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
}

// joiner tries the addresses of nodes that should be members and are not:
// those of Config.Join, and of nodes that went. That joins a node to its PoP
// and the halves of a PoP to each other.
type joiner struct {
	// Static after newJoiner.
	m     *Members
	list  *memberlist.Memberlist
	seeds []seed

	// Owned by run.
	names map[seed]*attempts
	addrs map[netip.AddrPort]*attempts
	known map[seed][]netip.AddrPort // what names stood for last
}

// attempts is when to try again.
type attempts struct {
	at   time.Time
	wait time.Duration
}

func newJoiner(m *Members, list *memberlist.Memberlist) *joiner {
	j := &joiner{
		m: m, list: list,
		names: map[seed]*attempts{}, addrs: map[netip.AddrPort]*attempts{}, known: map[seed][]netip.AddrPort{},
	}
	for _, text := range m.conf.Join {
		if s, err := parseSeed(text); err == nil && !slices.Contains(j.seeds, s) { // validate saw them
			j.seeds = append(j.seeds, s)
		}
	}
	return j
}

// run tries until ctx is done, and calls first after the first round.
func (j *joiner) run(ctx context.Context, first func()) {
	tick := time.NewTicker(j.m.conf.Tuning.RejoinFirst)
	defer tick.Stop()
	for done := first; ; done = func() {} {
		j.round(ctx)
		done()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// round tries every address whose time has come.
func (j *joiner) round(ctx context.Context) {
	for _, s := range j.seeds {
		j.resolve(ctx, s)
	}
	alive, former := j.m.addresses()
	targets := map[netip.AddrPort]bool{}
	for _, addrs := range append(slices.Collect(maps.Values(j.known)), former) {
		for _, addr := range addrs {
			targets[addr] = addr != j.m.transport.addr && !alive[addr]
		}
	}
	for addr := range j.addrs {
		if !targets[addr] {
			delete(j.addrs, addr)
		}
	}
	errs := j.try(targets)
	for _, s := range j.seeds {
		j.report(s, alive, errs)
	}
}

// try asks the targets whose time has come, and returns what became of all
// of them.
func (j *joiner) try(targets map[netip.AddrPort]bool) map[netip.AddrPort]error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, joinsAtOnce)
	errs := map[netip.AddrPort]error{}
	for addr, wanted := range targets {
		if !wanted || !j.due(j.addrs[addr]) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			_, err := j.list.Join([]string{addr.String()})
			<-slots
			mu.Lock()
			defer mu.Unlock()
			errs[addr] = err
		})
	}
	wg.Wait()
	for addr, err := range errs {
		j.addrs[addr] = j.after(j.addrs[addr], err)
		outcome := outcomeOf(err)
		j.m.metrics.joins[outcome].Inc()
		j.m.log.Debug("join", zap.Stringer("address", addr), zap.String("outcome", string(outcome)), zap.Error(err))
	}
	return errs
}

func (j *joiner) due(a *attempts) bool { return a == nil || !time.Now().Before(a.at) }

// after returns when to try again. One that answered is a member by then,
// or is tried again in a while.
func (j *joiner) after(a *attempts, err error) *attempts {
	t := j.m.conf.Tuning
	wait := t.RejoinMost
	if err != nil {
		wait = t.RejoinFirst
		if a != nil {
			wait = min(max(2*a.wait, wait), t.RejoinMost)
		}
	}
	return &attempts{at: time.Now().Add(wait), wait: wait}
}

// resolve asks for the addresses of a name when that is due. What it stood
// for before stays when there is no answer.
func (j *joiner) resolve(ctx context.Context, s seed) {
	if addr, err := netip.ParseAddr(s.host); err == nil {
		j.known[s] = []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), s.port)}
		return
	}
	if !j.due(j.names[s]) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, j.m.conf.Tuning.JoinTimeout)
	defer cancel()
	addrs, err := j.m.conf.lookup(ctx, s.host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("it has no address")
	}
	j.names[s] = j.after(j.names[s], err)
	if err != nil {
		j.m.metrics.joins[joinUnresolved].Inc()
		if len(j.known[s]) == 0 {
			j.m.seed(s, fmt.Sprintf("%s of pop.join cannot be resolved (%v): check the name and the resolver", s, err))
		}
		return
	}
	j.known[s] = nil
	for _, addr := range addrs {
		j.known[s] = append(j.known[s], netip.AddrPortFrom(addr.Unmap(), s.port))
	}
}

// report keeps what is wrong with a seed: nothing when one of its addresses
// is a member or this node.
func (j *joiner) report(s seed, alive map[netip.AddrPort]bool, errs map[netip.AddrPort]error) {
	if len(j.known[s]) == 0 {
		return // resolve said it
	}
	var failed error
	for _, addr := range j.known[s] {
		err, tried := errs[addr]
		switch {
		case alive[addr] || addr == j.m.transport.addr || tried && err == nil:
			j.m.seed(s, "")
			return
		case tried:
			failed = cmp.Or(failed, err)
		}
	}
	switch {
	case failed == nil: // nothing new
	case undecipherable(failed.Error()):
		j.m.seed(s, fmt.Sprintf("%s of pop.join has another secret: give all nodes of the PoP the same pop.secret", s))
	case outcomeOf(failed) == joinRefused:
		j.m.seed(s, fmt.Sprintf("%s of pop.join does not take this node in (%s): check that it is a node of PoP %q", s, cause(failed), j.m.conf.Pop))
	default:
		j.m.seed(s, fmt.Sprintf("%s of pop.join does not answer (%s): check the address, and that the node runs and can be reached by TCP and UDP", s, cause(failed)))
	}
}

// outcomeOf sorts what memberlist says of an attempt, which is text alone:
// whoever closes the connection, or says something, is there.
func outcomeOf(err error) joined {
	switch {
	case err == nil:
		return joinOK
	case strings.Contains(err.Error(), "dial tcp"), strings.Contains(err.Error(), "i/o timeout"):
		return joinSilent
	}
	return joinRefused
}

// cause returns what is wrong out of a list of one error.
func cause(err error) string {
	_, text, ok := strings.Cut(err.Error(), "failed to join ")
	if !ok {
		text = err.Error()
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}
