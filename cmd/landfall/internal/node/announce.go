package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/affinity/relay"
	"github.com/landfall-cdn/landfall/bgp/ladder"
)

// What nodes of the fleet tell and ask one another about announcements;
// siblings too.
const (
	callRecord = "announce-record" // a ladder.Record each way
	callStay   = "announce-stay"   // a ladder.Ask, and its ladder.Answer
)

// fleet is all other nodes that this one knows: those of its PoP, and
// siblings. It implements ladder.Fleet.
type fleet struct{ *popPart }

// Exchange implements ladder.Fleet.
func (f fleet) Exchange(ctx context.Context, mine ladder.Record) []ladder.Record {
	return askAll[ladder.Record](ctx, f, callRecord, mine)
}

// Ask implements ladder.Fleet.
func (f fleet) Ask(ctx context.Context, ask ladder.Ask) []ladder.Answer {
	return askAll[ladder.Answer](ctx, f, callStay, ask)
}

// others are those that can be asked.
func (f fleet) others() (out []affinity.NodeID) {
	for _, m := range f.current.Load().view.Members {
		if m.ID != f.self.ID && f.peers.Reachable(m.ID) {
			out = append(out, m.ID)
		}
	}
	for id := range f.siblings {
		if f.peers.Reachable(id) {
			out = append(out, id)
		}
	}
	return out
}

// askAll calls all at once, and returns what those say that answer.
func askAll[T any](ctx context.Context, f fleet, call string, question any) (out []T) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, id := range f.others() {
		all.Go(func() {
			var answer T
			if f.call(ctx, id, call, question, &answer) != nil {
				return // silence is what it means
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, answer)
		})
	}
	all.Wait()
	return out
}

// announceCalls are what nodes of the whole fleet may call here. A node
// speaks for itself only.
func (p *popPart) announceCalls() map[string]relay.CallFunc {
	a := func() (*ladder.Announcer, error) {
		if p.node.announcer == nil {
			return nil, errors.New("this node announces nothing")
		}
		return p.node.announcer.Announcer, nil
	}
	return map[string]relay.CallFunc{
		callRecord: func(_ context.Context, from affinity.NodeID, payload []byte) ([]byte, error) {
			announcer, err := a()
			var r ladder.Record
			if err = errors.Join(err, json.Unmarshal(payload, &r)); err != nil {
				return nil, err
			}
			if r.Node != uint8(from) {
				return nil, fmt.Errorf("node %d speaks for node %d", from, r.Node)
			}
			announcer.Hear(r)
			return json.Marshal(announcer.Record())
		},
		callStay: func(_ context.Context, from affinity.NodeID, payload []byte) ([]byte, error) {
			announcer, err := a()
			var ask ladder.Ask
			if err = errors.Join(err, json.Unmarshal(payload, &ask)); err != nil {
				return nil, err
			}
			if ask.Node != uint8(from) {
				return nil, fmt.Errorf("node %d asks for node %d", from, ask.Node)
			}
			return json.Marshal(announcer.Asked(ask))
		},
	}
}

// orderFile keeps what an operator wants of the announcement over restarts.
// A drain is not kept: whoever starts a node wants it back.
type orderFile struct{ path string }

func newOrderFile(state string) orderFile { return orderFile{filepath.Join(state, "announce.json")} }

// load returns the zero Order when there is none. One that cannot be read is
// an error: a node that was withdrawn must not come back by itself.
func (f orderFile) load() (o ladder.Order, err error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		return o, fmt.Errorf("%s: %w; remove it to start the node announced", f.path, err)
	}
	return o, nil
}

func (f orderFile) save(o ladder.Order) error {
	if o.Drain {
		return nil
	}
	if o == (ladder.Order{}) {
		if err := os.Remove(f.path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	next := f.path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, f.path)
}
