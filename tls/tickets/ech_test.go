package tickets

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func newECH(t *testing.T, r *Ring, name string) *ECH {
	t.Helper()
	e, err := r.ECH(name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var (
	echSecret = bytes.Repeat([]byte{3}, MinSecret)
	echNow    = time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC)
)

func TestECHOverlaps(t *testing.T) {
	e := newECH(t, newRing(t, Config{Secret: echSecret}), "cover.example")
	keys := func(at time.Time) []string {
		var out []string
		for _, k := range e.Keys(at) {
			out = append(out, fmt.Sprintf("%x %x", k.Config, k.PrivateKey))
		}
		return out
	}
	before, during, after := keys(echNow.Add(-ECHEpoch)), keys(echNow), keys(echNow.Add(ECHEpoch))
	if before[1] != during[0] || after[2] != during[0] {
		t.Error("the key of an epoch is not accepted in the epochs around it")
	}
	if slices.Contains(keys(echNow.Add(2*ECHEpoch)), during[0]) {
		t.Error("a key is accepted two epochs later")
	}
	ids := map[byte]bool{}
	for i, k := range e.Keys(echNow) {
		if k.SendAsRetry != (i == 0) {
			t.Errorf("key %d: SendAsRetry is %v", i, k.SendAsRetry)
		}
		ids[k.Config[4]] = true
	}
	if len(ids) != 3 {
		t.Errorf("three keys have %d configuration ids", len(ids))
	}
	if !bytes.Equal(e.ConfigList(echNow)[2:], e.Keys(echNow)[0].Config) {
		t.Error("clients are told another key than the current one")
	}
	at := e.Rotation(echNow)
	if bytes.Equal(e.ConfigList(at), e.ConfigList(at.Add(-1))) || !bytes.Equal(e.ConfigList(echNow), e.ConfigList(at.Add(-1))) {
		t.Error("the configuration changes at another time than Rotation says")
	}
}

func TestECHIsShared(t *testing.T) {
	a := newECH(t, newRing(t, Config{Secret: echSecret, Epoch: time.Hour}), "cover.example")
	b := newECH(t, newRing(t, Config{Secret: bytes.Clone(echSecret)}), "cover.example")
	if !bytes.Equal(a.ConfigList(echNow), b.ConfigList(echNow)) {
		t.Error("two nodes with one secret tell clients different keys")
	}
	for what, other := range map[string]*ECH{
		"another name":   newECH(t, newRing(t, Config{Secret: echSecret}), "other.example"),
		"another secret": newECH(t, newRing(t, Config{}), "cover.example"),
	} {
		if bytes.Equal(a.Keys(echNow)[0].PrivateKey, other.Keys(echNow)[0].PrivateKey) {
			t.Errorf("%s has the same key", what)
		}
	}
}

// TestECHConfig pins the bytes that DNS records carry.
func TestECHConfig(t *testing.T) {
	e := newECH(t, newRing(t, Config{Secret: echSecret}), "cover.example")
	list := e.ConfigList(echNow)
	public := list[11 : 11+32]
	want := slices.Concat(
		[]byte{0, 68, 0xfe, 0x0d, 0, 64, list[6], 0x00, 0x20, 0, 32}, public,
		[]byte{0, 8, 0, 1, 0, 1, 0, 1, 0, 3, 64, 13}, []byte("cover.example"), []byte{0, 0},
	)
	if !bytes.Equal(list, want) {
		t.Errorf("configuration list\n%x, want\n%x", list, want)
	}
}

func TestECHRefuses(t *testing.T) {
	r := newRing(t, Config{})
	for _, name := range []string{"", "Cover.example", "cover.example.", "10.0.0.1", "::1", "*.example", "a b", strings.Repeat("a.", 127) + "example"} {
		if _, err := r.ECH(name); err == nil {
			t.Errorf("public name %q is accepted", name)
		}
	}
}

func TestECHKeysCostNothingTwice(t *testing.T) {
	e := newECH(t, newRing(t, Config{}), "cover.example")
	if n := testing.AllocsPerRun(100, func() { e.Keys(echNow) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
