package ladder

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/bgp"
)

var vip = netip.MustParsePrefix("198.51.100.10/32")

// announcing is the record of a node that announces.
func announcing(id uint8, pop string) Record {
	return Record{Node: id, Pop: pop, Announces: true, Prefixes: []netip.Prefix{vip}, Fell: -1}
}

// with returns a changed record.
func with(r Record, change func(*Record)) Record {
	change(&r)
	return r
}

// fails is the record of a node whose VIP does not answer.
func fails(r Record) Record {
	r.Failing = map[string]float64{"vip": 1}
	return r
}

// judged is a step and what others say, and which interlocks refuse it.
type judged struct {
	name     string
	step     Step
	failing  bool // this node is
	others   []Record
	expected bool
	age      time.Duration // of what is known
	want     []Interlock
}

func (j judged) check(t *testing.T) {
	v, self := View{Expected: j.expected}, announcing(1, "a")
	if j.failing {
		self = fails(self)
	}
	for _, r := range j.others {
		v.Hear(r, noon)
	}
	var got []Interlock
	for _, r := range Judge(self, j.step, &v, Record.serves, DefaultRules(), noon.Add(j.age)) {
		got = append(got, r.Interlock)
	}
	if !slices.Equal(got, j.want) {
		t.Errorf("refused by %v, want %v", got, j.want)
	}
}

var (
	byOperator = Step{To: bgp.Withdrawn}
	byCheck    = Step{To: bgp.Withdrawn, Auto: true}
)

func down(r *Record) { r.Rung, r.Announces, r.Prefixes = bgp.Withdrawn, false, nil }

// TestWhoIsLeft is about steps of operators and checks alike.
func TestWhoIsLeft(t *testing.T) {
	operator, check := byOperator, byCheck
	three := []Record{announcing(2, "a"), announcing(3, "a"), announcing(4, "b")}
	for _, tc := range []judged{
		{name: "one of three, another PoP there", step: operator, others: three},
		{name: "by a check", step: check, failing: true, others: three},
		{name: "alone", step: operator, want: []Interlock{LastAnnouncer}},
		{name: "alone, deprefer", step: Step{To: bgp.Deprefer}},
		{name: "alone, gshut", step: Step{To: bgp.Gshut}, want: []Interlock{LastAnnouncer}},
		{
			name: "others are down", step: operator, others: []Record{with(announcing(2, "a"), down), with(announcing(4, "b"), down)},
			want: []Interlock{LastAnnouncer, MinNodes, MinPops},
		},
		{
			name: "others are about to go", step: operator,
			others: []Record{with(announcing(2, "a"), func(r *Record) { r.Rung = bgp.Gshut })}, want: []Interlock{LastAnnouncer, MinNodes},
		},
		{
			name: "another announces something else", step: operator,
			others: []Record{with(announcing(2, "a"), func(r *Record) { r.Prefixes = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")} })},
			want:   []Interlock{LastAnnouncer},
		},
		{
			name: "one more of three than half", step: operator, others: []Record{announcing(2, "a"), with(announcing(3, "a"), down), announcing(4, "b")},
			want: []Interlock{MinNodes},
		},
		{name: "the whole PoP", step: Step{To: bgp.Withdrawn, Wide: true}, others: three},
		{
			name: "the whole PoP, nobody elsewhere", step: Step{To: bgp.Withdrawn, Wide: true}, others: three[:2],
			want: []Interlock{LastAnnouncer},
		},
		{
			name: "a PoP of four, of which two are left", step: Step{To: bgp.Withdrawn, Wide: true},
			others: []Record{announcing(4, "b"), with(announcing(5, "c"), down), with(announcing(6, "d"), down)}, want: []Interlock{MinPops},
		},
		{name: "nobody heard, though expected", step: operator, expected: true, want: []Interlock{NoView, LastAnnouncer}},
		{name: "heard too long ago", step: operator, expected: true, others: three, age: 10 * time.Second, want: []Interlock{NoView, LastAnnouncer, MinNodes, MinPops}},
		{name: "heard too long ago, and ill", step: check, failing: true, expected: true, others: three, age: 10 * time.Second, want: []Interlock{NoView, LastAnnouncer, MinNodes, MinPops}},
	} {
		t.Run(tc.name, tc.check)
	}
}

// TestChecksAreDoubted is about steps that checks ask for.
func TestChecksAreDoubted(t *testing.T) {
	operator, check := byOperator, byCheck
	three := []Record{announcing(2, "a"), announcing(3, "a"), announcing(4, "b")}
	for _, tc := range []judged{
		{
			name: "another withdrew lately", step: check, failing: true,
			others: append(slices.Clone(three[:2]), with(announcing(4, "b"), func(r *Record) { r.Fell = 60 })), want: []Interlock{WithdrawBudget},
		},
		{
			name: "another withdrew lately, and an operator drains", step: operator,
			others: append(slices.Clone(three[:2]), with(announcing(4, "b"), func(r *Record) { r.Fell = 60 })),
		},
		{
			name: "another withdrew long ago", step: check, failing: true,
			others: append(slices.Clone(three[:2]), with(announcing(4, "b"), func(r *Record) { r.Fell = 601 })),
		},
		{name: "two of two fail", step: check, failing: true, others: []Record{fails(announcing(4, "b"))}, want: []Interlock{Panic}},
		{name: "two of four fail", step: check, failing: true, others: []Record{announcing(2, "a"), announcing(3, "a"), fails(announcing(4, "b"))}},
		{
			name: "three of seven fail one check", step: check, failing: true,
			others: []Record{
				announcing(2, "a"), announcing(3, "a"), announcing(4, "b"), announcing(5, "b"),
				fails(announcing(6, "b")), fails(announcing(7, "b")),
			},
			want: []Interlock{Panic},
		},
		{
			name: "three of seven fail different checks", step: check, failing: true,
			others: []Record{
				announcing(2, "a"), announcing(3, "a"), announcing(4, "b"), announcing(5, "b"),
				with(announcing(6, "b"), func(r *Record) { r.Failing = map[string]float64{"disk": 1} }), fails(announcing(7, "b")),
			},
		},
		{
			name: "three of seven fail one check, one since long", step: check, failing: true,
			others: []Record{
				announcing(2, "a"), announcing(3, "a"), announcing(4, "b"), announcing(5, "b"),
				with(announcing(6, "b"), func(r *Record) { r.Failing = map[string]float64{"vip": 3600} }), fails(announcing(7, "b")),
			},
		},
	} {
		t.Run(tc.name, tc.check)
	}
}

// TestPromisesCount: an operator's step counts on those who promised, not on
// those who only announce.
func TestPromisesCount(t *testing.T) {
	var v View
	v.Hear(announcing(2, "b"), noon)
	nobody := func(Record) bool { return false }
	if got := Judge(announcing(1, "a"), Step{To: bgp.Gshut}, &v, nobody, DefaultRules(), noon); len(got) != 2 {
		t.Errorf("refused by %v, want last-announcer and min-pops", got)
	}
}

// TestPurgeCursor: a node that has missed purges does not come back.
func TestPurgeCursor(t *testing.T) {
	var v View
	v.Hear(with(announcing(2, "a"), func(r *Record) { r.Purges = 7 }), noon)
	for purges, want := range map[uint64]int{6: 1, 7: 0, 8: 0} {
		self := with(announcing(1, "a"), func(r *Record) { r.Purges = purges })
		if got := Return(self, &v, DefaultRules(), noon); len(got) != want {
			t.Errorf("at %d: %v", purges, got)
		}
	}
	if got := Return(announcing(1, "a"), &v, DefaultRules(), noon.Add(time.Minute)); len(got) != 0 {
		t.Errorf("kept by what was heard long ago: %v", got)
	}
}

// TestViewKeepsTheNewest: records overtake one another on their way.
func TestViewKeepsTheNewest(t *testing.T) {
	said := func(life int64, seq uint64, rung bgp.Rung) Record {
		return with(announcing(2, "a"), func(r *Record) { r.Life, r.Seq, r.Rung = life, seq, rung })
	}
	var v View
	for _, tc := range []struct {
		say  Record
		want bgp.Rung
	}{
		{said(1, 5, bgp.Normal), bgp.Normal},
		{said(1, 4, bgp.Withdrawn), bgp.Normal},
		{said(1, 6, bgp.Gshut), bgp.Gshut},
		{said(2, 1, bgp.Normal), bgp.Normal},
		{said(1, 9, bgp.Withdrawn), bgp.Normal},
	} {
		v.Hear(tc.say, noon)
		if got := v.List(noon)[0].Rung; got != tc.want {
			t.Errorf("after %d/%d: %s, want %s", tc.say.Life, tc.say.Seq, got, tc.want)
		}
	}
	v.Hear(with(said(2, 2, bgp.Withdrawn), func(r *Record) { r.Leaving = true }), noon)
	if got := v.List(noon); len(got) != 0 {
		t.Errorf("who left is still known: %v", got)
	}
	v.Hear(said(2, 3, bgp.Normal), noon)
	v.Forget(DefaultRules(), noon.Add(time.Hour))
	if got := v.List(noon); len(got) != 0 {
		t.Errorf("not forgotten: %v", got)
	}
}
