package members

import (
	"bytes"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/zap/zapcore"

	"github.com/landfall-cdn/landfall/affinity"
)

// fullMeta has every field as large as it can be.
func fullMeta() meta {
	long := strings.Repeat("x", maxText)
	m := meta{
		Member: affinity.Member{
			Node: affinity.Node{ID: 255, Name: long}, L4: affinity.Gone, L7: affinity.Draining, Weight: affinity.MaxWeight,
			Peer: netip.MustParseAddrPort("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
		},
		pop: long, version: long, sites: math.MaxUint64, purges: math.MaxUint64, instance: math.MaxUint64,
		uptime: maxUptime, aside: quarantined,
	}
	return m
}

func TestMetadata(t *testing.T) {
	for _, want := range []meta{fullMeta(), {Member: memberOf(1), pop: "fra", instance: 1, uptime: time.Second}} {
		b := want.encode()
		if len(b) > memberlist.MetaMaxSize {
			t.Errorf("%d bytes, at most %d", len(b), memberlist.MetaMaxSize)
		}
		got, err := parseMeta(b)
		if err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		if got, err = parseMeta(append(b, 250, 3, 'n', 'e', 'w')); err != nil || got != want {
			t.Errorf("with a newer field: %+v, %v", got, err)
		}
		for n := range b {
			if got, err := parseMeta(b[:n]); err == nil && got == want {
				t.Errorf("%d of %d bytes are enough", n, len(b))
			}
		}
	}
}

func TestUnreadable(t *testing.T) {
	good := meta{Member: memberOf(1), pop: "fra", instance: 1}
	with := func(field ...byte) []byte { return append(good.encode(), field...) }
	without := func(change func(*meta)) []byte {
		m := good
		change(&m)
		return m.encode()
	}
	for _, c := range []struct {
		name string
		said []byte
		says string
	}{
		{"nothing", nil, "empty"},
		{"another format", []byte{2, 1, 1, 1}, "has format 2, and this version knows 1"},
		{"cut off", with(tagVersion, 5, 'v'), "cut off"},
		{"a tag alone", with(tagVersion), "cut off"},
		{"long id", with(tagID, 2, 0, 1), "field 1: 2 bytes, want 1"},
		{"short number", with(tagSites, 1, 1), "field 9: 1 bytes, want 8"},
		{"long text", with(append([]byte{tagName, 65}, make([]byte, 65)...)...), "field 2: 65 bytes, at most 64"},
		{"no address", with(tagPeer, 1, 1), "field 7"},
		{"a port alone", with(tagPeer, 2, 1, 1), "no address that others can use"},
		{"uptime of ages", with(tagUptime, 8, 255, 255, 255, 255, 255, 255, 255, 255), "longer than any process runs"},
		{"no id", without(func(m *meta) { m.ID = 0 }), "id: 0 is no node"},
		{"no name", without(func(m *meta) { m.Name = "" }), "name: missing"},
		{"no state", without(func(m *meta) { m.L7 = 0 }), "l7: state-0"},
		{"newer state", without(func(m *meta) { m.L4 = 9 }), "l4: state-9"},
		{"much weight", without(func(m *meta) { m.Weight = 17 }), "weight: 17"},
		{"no instance", without(func(m *meta) { m.instance = 0 }), "instance"},
		{"no pop", without(func(m *meta) { m.pop = "" }), "PoP is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := parseMeta(c.said); err == nil {
				t.Error("no error")
			} else {
				wantText(t, err.Error(), c.says)
			}
		})
	}
}

// FuzzMetadata checks that what can be read means the same when it is
// written again, and fits.
func FuzzMetadata(f *testing.F) {
	full := fullMeta()
	f.Add(full.encode())
	f.Add([]byte{metaFormat, tagID, 1, 7, tagName, 1, 'a', tagL4, 1, 2, tagL7, 1, 2, tagInstance, 8, 0, 0, 0, 0, 0, 0, 0, 1, tagPop, 1, 'p'})
	f.Add([]byte{metaFormat, 99, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		again := m.encode()
		if len(again) > memberlist.MetaMaxSize {
			t.Fatalf("%d bytes of %q", len(again), b)
		}
		if got, err := parseMeta(again); err != nil || got != m {
			t.Fatalf("%+v, %v after %+v", got, err, m)
		}
	})
}

// FuzzGone checks that whatever another node remembers does no harm.
func FuzzGone(f *testing.F) {
	f.Add([]byte{goneFormat, 7, 0, 60, 6, 127, 0, 0, 1, 0x0a, 0x1f, 1, 'a'})
	f.Add([]byte{goneFormat, 7, 0, 60, 0, 0})
	f.Add([]byte("hello"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, g := range parseGone(b) {
			if g.ID == 0 || g.Name == "" || len(g.Name) > maxText || g.left < 0 || g.left > time.Hour*19 || !g.taken {
				t.Errorf("%+v", g)
			}
		}
	})
}

// TestGoneIsHandedOn writes what one node remembers and reads it at
// another.
func TestGoneIsHandedOn(t *testing.T) {
	open := func(id affinity.NodeID) *Members {
		conf := configOf(t, id)
		conf.Publish = func(affinity.View) {}
		m, err := Listen(conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m
	}
	one, two := open(1), open(2)
	now := time.Now()
	for i, c := range []*claim{
		{meta: meta{Member: memberOf(7)}, until: now.Add(time.Minute), taken: true},
		{meta: meta{Member: memberOf(8)}, until: now.Add(time.Minute)},                    // never a member
		{meta: meta{Member: memberOf(9)}, taken: true},                                    // alive
		{meta: meta{Member: memberOf(10)}, until: now.Add(time.Millisecond), taken: true}, // soon forgotten
		{meta: meta{Member: memberOf(2)}, until: now.Add(time.Minute), taken: true},       // node 2 knows better
		{meta: meta{Member: memberOf(11)}, until: now.Add(10 * time.Minute), taken: true}, // longer than anybody may ask
	} {
		c.addr = netip.MustParseAddrPort("127.0.0.1:7946")
		one.claims[string(rune('a'+i))] = c
	}
	state := delegate{one}.LocalState(true)
	delegate{two}.MergeRemoteState(state, true)
	delegate{two}.MergeRemoteState(state, true)
	if len(two.claims) != 1 {
		t.Fatalf("node 2 took over %d", len(two.claims))
	}
	for _, c := range two.claims {
		if c.ID != 7 || c.Name != "node-7" || !c.taken || c.addr.Port() != 7946 || !c.until.After(now) || c.until.After(now.Add(time.Minute+time.Second)) {
			t.Errorf("node 2 remembers %+v", c)
		}
	}
	if !bytes.HasPrefix(delegate{two}.LocalState(true), []byte{goneFormat, 7}) {
		t.Error("node 2 does not hand it on")
	}
}

func TestLinesOfTheLibrary(t *testing.T) {
	for _, c := range []struct {
		line  string
		level zapcore.Level
		why   reason
		from  string
	}{
		{"[DEBUG] memberlist: Stream connection from=127.0.0.1:5", zapcore.DebugLevel, "", ""},
		{"[INFO] memberlist: Suspect a has failed", zapcore.InfoLevel, "", ""},
		{"[WARN] memberlist: Refuting", zapcore.WarnLevel, "", ""},
		{"[ERR] memberlist: failed", zapcore.WarnLevel, "", ""},
		{"no brackets", zapcore.WarnLevel, "", ""},
		{"[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=127.0.0.1:9", zapcore.WarnLevel, otherSecret, "127.0.0.1"},
		{"[ERR] memberlist: failed to receive: no installed keys could decrypt the message from=[2001:db8::1]:9", zapcore.WarnLevel, otherSecret, "2001:db8::1"},
		{`[ERR] memberlist: discarding packet with unacceptable label "x": from=127.0.0.1:9`, zapcore.WarnLevel, otherPop, "127.0.0.1"},
		{`[ERR] memberlist: discarding stream with unacceptable label "x": from=<unknown address>`, zapcore.WarnLevel, otherPop, "<unknown address>"},
		{`[ERR] memberlist: discarding stream with unacceptable label "": from=127.0.0.1:9`, zapcore.WarnLevel, "", ""},
	} {
		level, text := parseLine(c.line + "\n")
		why, from, ok := faultOf(text)
		if level != c.level || why != c.why || from != c.from || ok != (c.why != "") || strings.HasPrefix(text, "memberlist") {
			t.Errorf("%q is %v %q: %q from %q", c.line, level, text, why, from)
		}
	}
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  joined
		cause string
	}{
		{"1 error occurred:\n\t* failed to join 127.0.0.1:9: dial tcp 127.0.0.1:9: connect: connection refused\n\n", joinSilent, "127.0.0.1:9: dial tcp 127.0.0.1:9: connect: connection refused"},
		{"1 error occurred:\n\t* failed to join 127.0.0.1:9: read tcp 127.0.0.1:8->127.0.0.1:9: i/o timeout\n\n", joinSilent, "127.0.0.1:9: read tcp 127.0.0.1:8->127.0.0.1:9: i/o timeout"},
		{"1 error occurred:\n\t* failed to join 127.0.0.1:9: EOF\n\n", joinRefused, "127.0.0.1:9: EOF"},
		{"another", joinRefused, "another"},
	} {
		err := errors.New(c.text)
		if got := outcomeOf(err); got != c.want || cause(err) != c.cause {
			t.Errorf("%q is %q because of %q", c.text, got, cause(err))
		}
	}
	if outcomeOf(nil) != joinOK {
		t.Error("no error is no success")
	}
}

// TestFaultsAreBounded sends from more addresses than are told apart.
func TestFaultsAreBounded(t *testing.T) {
	conf := configOf(t, 1)
	conf.Publish, conf.Log = func(affinity.View) {}, nil
	m, err := Listen(conf)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i := range 2 * maxFaults {
		m.met(otherSecret, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String())
	}
	if got := len(m.Problems()); got != maxFaults {
		t.Errorf("%d problems, want %d", got, maxFaults)
	}
	m.mu.Lock()
	m.forget(time.Now().Add(faultAge))
	m.mu.Unlock()
	if got := m.Problems(); got != nil {
		t.Errorf("problems after a while: %q", got)
	}
}
