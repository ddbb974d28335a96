package bgp

import (
	"encoding/json"
	"math"
	"net/netip"
	"reflect"
	"testing"
)

const transit = Community(64500<<16 | 80)

func TestMerge(t *testing.T) {
	base := Attrs{Prepend: 1, MED: new(uint32(10)), LocalPref: 200, Communities: []Community{1, 2}, Large: []LargeCommunity{{1, 2, 3}}}
	for _, tc := range []struct {
		name          string
		a, more, want Attrs
	}{
		{name: "nothing", a: base, want: base},
		{name: "over nothing", more: base, want: base},
		{name: "prepends add", a: base, more: Attrs{Prepend: 2}, want: Attrs{Prepend: 3, MED: base.MED, LocalPref: 200, Communities: base.Communities, Large: base.Large}},
		{name: "prepends end", a: Attrs{Prepend: 9}, more: Attrs{Prepend: 5}, want: Attrs{Prepend: MaxPrepend}},
		{name: "a MED replaces", a: Attrs{MED: new(uint32(10))}, more: Attrs{MED: new(uint32(0))}, want: Attrs{MED: new(uint32(0))}},
		{name: "a MED that is not set does not", a: Attrs{MED: new(uint32(10))}, more: Attrs{MEDAdd: 5}, want: Attrs{MED: new(uint32(10)), MEDAdd: 5}},
		{name: "a LOCAL_PREF replaces", a: Attrs{LocalPref: 200}, more: Attrs{LocalPref: 50}, want: Attrs{LocalPref: 50}},
		{
			name: "communities join", a: base, more: Attrs{Communities: []Community{2, 3}, Large: []LargeCommunity{{1, 2, 3}, {1, 2, 4}}},
			want: Attrs{Prepend: 1, MED: base.MED, LocalPref: 200, Communities: []Community{1, 2, 3}, Large: []LargeCommunity{{1, 2, 3}, {1, 2, 4}}},
		},
	} {
		if got := tc.a.Merge(tc.more); !got.Equal(tc.want) {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
	if !base.Equal(Attrs{Prepend: 1, MED: new(uint32(10)), LocalPref: 200, Communities: []Community{1, 2}, Large: []LargeCommunity{{1, 2, 3}}}) {
		t.Errorf("merging changed what was merged: %+v", base)
	}
}

func TestMergeWritesToNeither(t *testing.T) {
	room := append(make([]Community, 0, 8), 1)
	a := Attrs{Communities: room}
	one, other := a.Merge(Attrs{Communities: []Community{2}}), a.Merge(Attrs{Communities: []Community{3}})
	if one.Communities[1] != 2 || other.Communities[1] != 3 {
		t.Errorf("%v and %v share an array", one.Communities, other.Communities)
	}
}

func TestFinalMED(t *testing.T) {
	for _, tc := range []struct {
		name string
		a    Attrs
		med  uint32
		sent bool
	}{
		{name: "none"},
		{name: "zero is sent", a: Attrs{MED: new(uint32(0))}, sent: true},
		{name: "added to none", a: Attrs{MEDAdd: 100}, med: 100, sent: true},
		{name: "added", a: Attrs{MED: new(uint32(20)), MEDAdd: 100}, med: 120, sent: true},
		{name: "within 32 bits", a: Attrs{MED: new(uint32(math.MaxUint32 - 1)), MEDAdd: 100}, med: math.MaxUint32, sent: true},
	} {
		if med, sent := tc.a.FinalMED(); med != tc.med || sent != tc.sent {
			t.Errorf("%s: %d, %v; want %d, %v", tc.name, med, sent, tc.med, tc.sent)
		}
	}
}

// ladder is a node with two prefixes and two routers of which the second
// is internal.
func ladder() Config {
	c := valid()
	c.Attrs = Attrs{MED: new(uint32(10)), LocalPref: 200}
	c.Prefixes = map[netip.Prefix]Attrs{c.VIPs[1]: {Prepend: 1, MED: new(uint32(20))}}
	c.Peers[0].Attrs = Attrs{Communities: []Community{1}}
	c.Peers[0].Deprefer = Attrs{Communities: []Community{transit}}
	c.Peers[0].Gshut = Attrs{Prepend: 1}
	c.Peers[1].ASN = c.ASN
	c.Peers[1].Attrs = Attrs{MED: new(uint32(5)), LocalPref: 300}
	return c
}

func TestLadder(t *testing.T) {
	c := ladder()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name          string
		change        func(*Config)
		rung          Rung
		extra         Attrs
		vip4          Attrs // announced
		peer0, peer1  Attrs // what each router gets of it
		vip6AtTheLast Attrs
	}{
		{
			name: "normal", rung: Normal,
			vip4:          Attrs{MED: new(uint32(10)), LocalPref: 200},
			peer0:         Attrs{MED: new(uint32(10)), Communities: []Community{1}},
			peer1:         Attrs{MED: new(uint32(5)), LocalPref: 300},
			vip6AtTheLast: Attrs{MED: new(uint32(5)), LocalPref: 300},
		},
		{
			name: "an operator prepends", rung: Normal, extra: Attrs{Prepend: 3},
			vip4:          Attrs{Prepend: 3, MED: new(uint32(10)), LocalPref: 200},
			peer0:         Attrs{Prepend: 3, MED: new(uint32(10)), Communities: []Community{1}},
			peer1:         Attrs{MED: new(uint32(5)), LocalPref: 300},
			vip6AtTheLast: Attrs{MED: new(uint32(5)), LocalPref: 300},
		},
		{
			name: "deprefer", rung: Deprefer,
			vip4:          Attrs{Prepend: 2, MED: new(uint32(10)), MEDAdd: 100, LocalPref: 200},
			peer0:         Attrs{Prepend: 2, MED: new(uint32(110)), Communities: []Community{1, transit}},
			peer1:         Attrs{MED: new(uint32(105)), LocalPref: 300},
			vip6AtTheLast: Attrs{MED: new(uint32(105)), LocalPref: 300},
		},
		{
			name: "gshut", rung: Gshut,
			vip4:          Attrs{Prepend: 2, MED: new(uint32(10)), MEDAdd: 100, LocalPref: 200, Communities: []Community{GracefulShutdown}},
			peer0:         Attrs{Prepend: 3, MED: new(uint32(110)), Communities: []Community{GracefulShutdown, 1}},
			peer1:         Attrs{MED: new(uint32(105)), LocalPref: 300, Communities: []Community{GracefulShutdown}},
			vip6AtTheLast: Attrs{MED: new(uint32(105)), LocalPref: 300, Communities: []Community{GracefulShutdown}},
		},
		{
			name: "the rung's own go before the router's", rung: Gshut,
			change:        func(c *Config) { c.Deprefer = &Attrs{MED: new(uint32(900)), LocalPref: 7} },
			vip4:          Attrs{MED: new(uint32(900)), LocalPref: 7, Communities: []Community{GracefulShutdown}},
			peer0:         Attrs{Prepend: 1, MED: new(uint32(900)), Communities: []Community{GracefulShutdown, 1}},
			peer1:         Attrs{MED: new(uint32(900)), LocalPref: 7, Communities: []Community{GracefulShutdown}},
			vip6AtTheLast: Attrs{MED: new(uint32(900)), LocalPref: 7, Communities: []Community{GracefulShutdown}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := ladder()
			if tc.change != nil {
				tc.change(&c)
			}
			all := c.Announcement(tc.rung, tc.extra)
			if got := all[c.VIPs[0]]; !got.Equal(tc.vip4) {
				t.Errorf("announced %s, want %s", show(got), show(tc.vip4))
			}
			for i, want := range []Attrs{tc.peer0, tc.peer1} {
				if got := c.ToPeer(c.Peers[i], tc.rung, all[c.VIPs[0]]); !got.Equal(want) {
					t.Errorf("peers[%d] gets %s, want %s", i, show(got), show(want))
				}
			}
			if got := c.ToPeer(c.Peers[1], tc.rung, all[c.VIPs[1]]); !got.Equal(tc.vip6AtTheLast) {
				t.Errorf("peers[1] gets %s for the other prefix, want %s", show(got), show(tc.vip6AtTheLast))
			}
			if err := c.CheckDesired(Desired{Rung: tc.rung, Announce: all}); err != nil {
				t.Error(err)
			}
		})
	}
	if all := c.Announcement(Withdrawn, Attrs{}); len(all) != 0 {
		t.Errorf("%d prefixes on the last rung", len(all))
	}
	checkError(t, c.CheckDesired(Desired{Rung: Withdrawn, Announce: c.Announcement(Normal, Attrs{})}), []string{"2 prefixes on the rung withdrawn"})
}

func show(a Attrs) string {
	text, err := json.Marshal(a)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func TestAttrsSurviveJSON(t *testing.T) {
	c := ladder()
	c.Deprefer = &Attrs{Large: []LargeCommunity{{1, math.MaxUint32, 0}}}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, back) {
		t.Errorf("%+v comes back as %+v", c, back)
	}
}

func TestRungText(t *testing.T) {
	for r := range numRungs {
		text, err := r.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Rung
		if err := back.UnmarshalText(text); err != nil || back != r {
			t.Errorf("%d -> %q -> %d, %v", r, text, back, err)
		}
	}
	if err := new(Rung).UnmarshalText([]byte("asleep")); err == nil {
		t.Error("an unknown rung was accepted")
	}
}
