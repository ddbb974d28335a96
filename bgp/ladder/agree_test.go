package ladder

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

func askOf(r Record) Ask { return Ask{Node: r.Node, Pop: r.Pop, Life: r.Life, Seq: r.Seq} }

func TestOfTwoTheLowerGoes(t *testing.T) {
	rules := DefaultRules()
	one, two := announcing(1, "a"), announcing(2, "a")
	var a1, a2 Agreement
	if !a1.Begin(askOf(one), noon) || !a2.Begin(askOf(two), noon) {
		t.Fatal("nobody may ask")
	}
	if got := a1.Asked(one, askOf(two), rules, noon); got.Stays || !got.Busy {
		t.Errorf("node 1 answers %+v", got)
	}
	if got := a2.Asked(two, askOf(one), rules, noon); !got.Stays || got.Busy {
		t.Errorf("node 2 answers %+v", got)
	}
	if !a1.End() || a2.End() {
		t.Error("node 1 is to go on, node 2 is not")
	}
}

func TestPromiseEnds(t *testing.T) {
	rules := DefaultRules()
	one, two := announcing(1, "a"), announcing(2, "a")
	one.Seq = 5
	for _, tc := range []struct {
		name  string
		heard func(*Record)
		after time.Duration
		free  bool
	}{
		{name: "nothing heard"},
		{name: "still at it", heard: func(r *Record) { r.Seq, r.Stepping = 6, true }},
		{name: "said before it asked", heard: func(r *Record) { r.Seq = 4 }},
		{name: "gone", heard: func(r *Record) { r.Seq, r.Rung = 6, bgp.Withdrawn }, free: true},
		{name: "gave up", heard: func(r *Record) { r.Seq = 6 }, free: true},
		{name: "started anew", heard: func(r *Record) { r.Life = 1 }, free: true},
		{name: "stopped", heard: func(r *Record) { r.Leaving = true }, free: true},
		{name: "silent", after: rules.Promise, free: true},
		{name: "silent, not for long", after: rules.Promise - 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var a Agreement
			if !a.Asked(two, askOf(one), rules, noon).Stays {
				t.Fatal("does not promise")
			}
			if tc.heard != nil {
				a.Heard(with(one, tc.heard))
			}
			if got := a.Begin(askOf(two), noon.Add(tc.after)); got != tc.free {
				t.Errorf("free %v, want %v", got, tc.free)
			}
		})
	}
}

func TestWhoDoesNotServePromisesNothing(t *testing.T) {
	var a Agreement
	for _, change := range []func(*Record){
		func(r *Record) { r.Announces = false },
		func(r *Record) { r.Rung = bgp.Gshut },
	} {
		if a.Asked(with(announcing(2, "a"), change), askOf(announcing(1, "a")), DefaultRules(), noon).Stays {
			t.Error("promises")
		}
	}
}

// parley is a fleet whose nodes step down whenever they may, over a network
// that delays, reorders and loses. Time is counted in milliseconds.
type parley struct {
	rng   *rand.Rand
	rules Rules
	now   time.Time
	nodes []*parleyNode
	mail  []parcel
}

type parleyNode struct {
	Agreement
	self     Record
	view     View
	promised map[uint8]bool
	asked    uint64    // the sequence of its last question
	until    time.Time // answers are waited for; zero: not asking
}

type parcel struct {
	at   time.Time
	open func()
}

func (p *parley) send(open func()) {
	if p.rng.IntN(10) == 0 {
		return
	}
	p.mail = append(p.mail, parcel{p.now.Add(time.Duration(p.rng.IntN(900)) * time.Millisecond), open})
}

func (p *parley) deliver() {
	for i := 0; i < len(p.mail); {
		if m := p.mail[i]; m.at.After(p.now) {
			i++
		} else {
			p.mail = append(p.mail[:i], p.mail[i+1:]...)
			m.open()
		}
	}
}

func (p *parley) tell(n *parleyNode) {
	n.self.Seq++
	said := n.self
	for _, o := range p.nodes {
		if o != n {
			p.send(func() {
				if o.view.Hear(said, p.now) {
					o.Heard(said)
				}
			})
		}
	}
}

func (p *parley) ask(n *parleyNode) {
	n.self.Seq++
	ask := askOf(n.self)
	if len(Judge(n.self, Step{To: bgp.Withdrawn}, &n.view, Record.serves, p.rules, p.now)) > 0 || !n.Begin(ask, p.now) {
		return
	}
	n.self.Stepping, n.promised, n.asked, n.until = true, map[uint8]bool{}, ask.Seq, p.now.Add(time.Second)
	for _, o := range p.nodes {
		if o != n {
			p.send(func() {
				answer := o.Asked(o.self, ask, p.rules, p.now)
				p.send(func() {
					if n.self.Stepping && ask.Seq == n.asked {
						n.promised[answer.Node] = answer.Stays
					}
				})
			})
		}
	}
}

// conclude is what descend does once the answers are there.
func (p *parley) conclude(n *parleyNode) {
	n.until, n.self.Stepping = time.Time{}, false
	stays := func(r Record) bool { return r.serves() && n.promised[r.Node] }
	if n.End() && len(Judge(n.self, Step{To: bgp.Withdrawn}, &n.view, stays, p.rules, p.now)) == 0 {
		n.self.Rung, n.self.Announces = bgp.Withdrawn, false
	}
	p.tell(n)
}

// TestNeverNobody: whatever the network does, one node always announces.
func TestNeverNobody(t *testing.T) {
	stepped := 0
	for seed := range uint64(80) {
		p := &parley{rng: rand.New(rand.NewPCG(seed, 2)), rules: DefaultRules(), now: noon}
		for i := range 2 + p.rng.IntN(5) {
			r := announcing(uint8(i+1), string(rune('a'+i%2)))
			p.nodes = append(p.nodes, &parleyNode{self: r, view: View{Expected: true}})
		}
		for range 2000 {
			p.now = p.now.Add(20 * time.Millisecond)
			p.deliver()
			n := p.nodes[p.rng.IntN(len(p.nodes))]
			switch {
			case !n.until.IsZero():
				if p.now.After(n.until) {
					p.conclude(n)
				}
			case p.rng.IntN(10) < 3:
				p.tell(n)
			case n.self.Announces && p.rng.IntN(3) == 0:
				p.ask(n)
			case !n.self.Announces && p.rng.IntN(40) == 0: // it comes back
				n.self.Rung, n.self.Announces = bgp.Normal, true
				stepped++
			}
			left := 0
			for _, n := range p.nodes {
				if n.self.Announces {
					left++
				}
			}
			if left == 0 {
				t.Fatalf("seed %d: nobody announces", seed)
			}
		}
	}
	if stepped < 80 {
		t.Errorf("only %d steps: the test looks at nothing", stepped)
	}
}
