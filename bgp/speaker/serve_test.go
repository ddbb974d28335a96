package speaker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/landfall-cdn/landfall/bgp"
)

// orders returns the frames of all.
func orders(t *testing.T, all ...order) []byte {
	t.Helper()
	var out []byte
	for _, o := range all {
		var err error
		if out, err = appendFrame(out, o); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func announceAll(generation uint64) order {
	cfg := config()
	return order{Config: cfg, Desired: bgp.Desired{Generation: generation, Announce: cfg.Announcement(bgp.Normal, bgp.Attrs{})}}
}

func TestEndOfOrdersEndsTheSessions(t *testing.T) {
	r := &fakeRouter{}
	o := announceAll(1)
	o.Desired.Message = "upgrade"
	if err := serve(bytes.NewReader(orders(t, o)), io.Discard, r, zap.NewNop()); err != nil {
		t.Error(err)
	}
	if stopped, message := r.end(); !stopped || message != "upgrade" {
		t.Errorf("stopped %v, %q", stopped, message)
	}
	if n, _ := r.count(); n != 0 {
		t.Errorf("%d prefixes are still announced", n)
	}
}

func TestBrokenOrdersEndTheSessions(t *testing.T) {
	good := orders(t, announceAll(1))
	for _, tc := range []struct {
		name string
		tail []byte
	}{
		{name: "cut", tail: good[:len(good)/2]},
		{name: "cut header", tail: good[:2]},
		{name: "not JSON", tail: []byte("\x00\x00\x00\x01x")},
		{name: "too long", tail: binary.BigEndian.AppendUint32(nil, math.MaxUint32)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &fakeRouter{}
			in := io.MultiReader(bytes.NewReader(good), bytes.NewReader(tc.tail))
			if err := serve(in, io.Discard, r, zap.NewNop()); err == nil {
				t.Error("no error")
			}
			if stopped, _ := r.end(); !stopped {
				t.Error("the sessions live on")
			}
		})
	}
}

func TestForeignPrefixIsNotAnnounced(t *testing.T) {
	o := announceAll(1)
	o.Desired.Announce[prefix("203.0.113.0/24")] = bgp.Attrs{}
	r, out := &fakeRouter{}, &bytes.Buffer{}
	if err := serve(bytes.NewReader(orders(t, o)), out, r, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	if _, changes := r.count(); changes != 0 {
		t.Errorf("%d changes", changes)
	}
	var rep report
	if err := readFrame(out, &rep); err != nil {
		t.Fatal(err)
	}
	if rep.Applied != 0 || !strings.Contains(rep.Error, "203.0.113.0/24") {
		t.Errorf("report %+v, want the prefix refused", rep)
	}
}

func TestInvalidConfigurationIsRefused(t *testing.T) {
	o := announceAll(1)
	o.Config.ASN = 0
	r, out := &fakeRouter{}, &bytes.Buffer{}
	if err := serve(bytes.NewReader(orders(t, o)), out, r, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	var rep report
	if err := readFrame(out, &rep); err != nil {
		t.Fatal(err)
	}
	if !rep.Refused || rep.Applied != 0 || r.started != 0 {
		t.Errorf("report %+v after %d starts, want a refusal", rep, r.started)
	}
}

// TestLeaseSurvivesStarvation has an order arrive in the last beat of the
// lease, as when the speaker had no time to read it earlier.
func TestLeaseSurvivesStarvation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		r := &fakeRouter{}
		ended := make(chan error, 1)
		go func() { ended <- serve(in, io.Discard, r, zap.NewNop()) }()
		frame := orders(t, announceAll(1))
		for range 10 {
			if _, err := out.Write(frame); err != nil {
				t.Fatal(err)
			}
			pass(leaseTime - time.Millisecond)
			if n, changes := r.count(); n != 2 || changes != 2 {
				t.Errorf("%d prefixes after %d changes, want 2, 2", n, changes)
			}
		}
		pass(time.Millisecond)
		if n, _ := r.count(); n != 0 {
			t.Errorf("%d prefixes are announced without a lease", n)
		}
		out.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestLargestOrderFits proves that no valid configuration is over the
// limit of a frame.
func TestLargestOrderFits(t *testing.T) {
	cfg := bgp.Config{ASN: 4294967294, RouterID: netip.MustParseAddr("223.255.255.255")}
	var most bgp.Attrs // but for GRACEFUL_SHUTDOWN
	for i := range bgp.MaxCommunities {
		most.Large = append(most.Large, bgp.LargeCommunity{Global: 4000000000, Local1: math.MaxUint32, Local2: 4000000000 + uint32(i)})
		if i > 0 {
			most.Communities = append(most.Communities, 0xffff0000|bgp.Community(20000+i))
		}
	}
	most.Prepend, most.MED, most.MEDAdd, most.LocalPref = bgp.MaxPrepend, new(uint32(math.MaxUint32)), math.MaxUint32, math.MaxUint32
	cfg.Attrs, cfg.Deprefer, cfg.Gshut, cfg.Prefixes = most, &most, &most, map[netip.Prefix]bgp.Attrs{}
	for i := range bgp.MaxVIPs {
		cfg.VIPs = append(cfg.VIPs, prefix(fmt.Sprintf("2001:dead:beef:dead:beef:dead:beef:%x/128", 0xf000+i)))
		cfg.Prefixes[cfg.VIPs[i]] = most
	}
	for i := range bgp.MaxPeers {
		cfg.Peers = append(cfg.Peers, bgp.PeerConfig{
			Address: netip.MustParseAddr(fmt.Sprintf("2001:dead:beef:dead:beef:dead:beef:%x", 0xe000+i)),
			ASN:     4200000000, HoldTime: 65535 * time.Second, Multihop: 255, Passive: true, AddPath: true,
			Attrs: most, Deprefer: most, Gshut: most,
			Password: strings.Repeat("<", bgp.MaxPassword), // JSON takes six bytes for each
		})
	}
	for i := range bgp.MaxListen {
		cfg.Listen = append(cfg.Listen, netip.MustParseAddr(fmt.Sprintf("2001:dead:beef:dead:beef:dead:beef:%x", 0xd000+i)))
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	want := order{Config: cfg, Desired: bgp.Desired{
		Generation: math.MaxUint64, Rung: bgp.Gshut, Announce: cfg.Announcement(bgp.Gshut, bgp.Attrs{}), Message: strings.Repeat("\x01", 1024),
	}}
	for _, p := range cfg.Peers {
		want.Without = append(want.Without, p.Address)
	}
	frame := orders(t, want)
	var got order
	if err := readFrame(bytes.NewReader(frame), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the order came out changed")
	}
	if len(frame) > maxFrame/2 {
		t.Errorf("%d bytes, too near to the limit of %d", len(frame), maxFrame)
	}
}

func TestFrameOverTheLimit(t *testing.T) {
	if _, err := appendFrame(nil, strings.Repeat("x", maxFrame)); !errors.Is(err, errFrameSize) {
		t.Errorf("error %v, want %v", err, errFrameSize)
	}
}

func FuzzReadFrame(f *testing.F) {
	frame, err := appendFrame(nil, announceAll(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frame)
	f.Add(frame[:len(frame)-1])
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x3c{\"Desired\":{\"Announce\":{\"198.51.100.0/24\":{\"MED\":4294967295}}}}"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var o order
		if readFrame(bytes.NewReader(data), &o) != nil {
			return
		}
		// What was read can be written and read again, and validated.
		again, err := appendFrame(nil, o)
		if err != nil {
			return
		}
		var o2 order
		if err := readFrame(bytes.NewReader(again), &o2); err != nil {
			t.Fatalf("own frame %q: %v", again, err)
		}
		_ = o.Config.Validate()
		_ = o.Config.CheckDesired(o.Desired)
	})
}

func TestForwardLine(t *testing.T) {
	for _, tc := range []struct {
		name, line, level, message string
	}{
		{name: "zap", line: `{"level":"warn","msg":"Peer Down","Key":"10.0.0.1"}`, level: "warn", message: "Peer Down"},
		{name: "panic of zap", line: `{"level":"panic","msg":"code logic bug"}`, level: "error", message: "code logic bug"},
		{name: "runtime", line: `goroutine 1 [running]:`, level: "warn", message: "unexpected output"},
		{name: "other JSON", line: `{"a":1}`, level: "warn", message: "unexpected output"},
		{name: "unknown level", line: `{"level":"loud","msg":"x"}`, level: "warn", message: "unexpected output"},
	} {
		core, logs := observer.New(zap.DebugLevel)
		forwardLine(zap.New(core), []byte(tc.line))
		if all := logs.All(); len(all) != 1 || all[0].Level.String() != tc.level || all[0].Message != tc.message {
			t.Errorf("%s: logged %+v", tc.name, all)
		}
	}
}

func TestCut(t *testing.T) {
	long := strings.Repeat("é", 65) // 130 bytes
	for in, want := range map[string]string{"short": "short", long: long[:128], "x" + long: "x" + long[:126]} {
		if got := cut(in); got != want {
			t.Errorf("%q is cut to %q, want %q", in, got, want)
		}
	}
}
