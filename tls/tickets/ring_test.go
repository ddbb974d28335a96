package tickets

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func newRing(t *testing.T, c Config) *Ring {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		conf Config
		says string
	}{
		{"short secret", Config{Secret: make([]byte, 31)}, "at least 32 random bytes"},
		{"short epoch", Config{Epoch: time.Second - 1}, "at least 1s"},
		{"negative epoch", Config{Epoch: -time.Hour}, "at least 1s"},
	} {
		if _, err := New(tc.conf); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: New = %v, want an error that says %q", tc.name, err, tc.says)
		}
	}
}

// TestKeysOverlap: the key that seals in one epoch is accepted one epoch
// before, by nodes whose clock is behind, and one after.
func TestKeysOverlap(t *testing.T) {
	r := newRing(t, Config{Epoch: time.Hour})
	now := time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC)
	for what, keys := range map[string]func(string, time.Time) [][32]byte{"ticket": r.Keys, "cookie": r.CookieKey} {
		before, during, after := keys("a", now.Add(-time.Hour)), keys("a", now), keys("a", now.Add(time.Hour))
		sealing := during[0]
		if before[1] != sealing {
			t.Errorf("%s: the next key of the epoch before is not the current key", what)
		}
		if after[2] != sealing {
			t.Errorf("%s: the previous key of the epoch after is not the current key", what)
		}
		if slices.Contains(keys("a", now.Add(2*time.Hour)), sealing) {
			t.Errorf("%s: a key is still accepted two epochs later", what)
		}
		if before[0] == sealing || after[0] == sealing {
			t.Errorf("%s: a key seals for more than one epoch", what)
		}
	}
}

func TestRotationIsWhenKeysChange(t *testing.T) {
	r := newRing(t, Config{Epoch: time.Hour})
	now := time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC)
	at := r.Rotation(now)
	if want := now.Add(30 * time.Minute); !at.Equal(want) {
		t.Fatalf("Rotation = %v, want %v", at, want)
	}
	if !slices.Equal(r.Keys("a", now), r.Keys("a", at.Add(-1))) {
		t.Error("keys change before the rotation")
	}
	if slices.Equal(r.Keys("a", now), r.Keys("a", at)) {
		t.Error("keys do not change at the rotation")
	}
	if next := r.Rotation(at); !next.After(at) {
		t.Errorf("at a rotation the next one is %v, which is not later", next)
	}
}

func TestKeysDiffer(t *testing.T) {
	now := time.Now()
	secret := bytes.Repeat([]byte{7}, MinSecret)
	a := newRing(t, Config{Secret: secret})
	seen := map[[32]byte]string{}
	add := func(what string, key [32]byte) {
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have the same key", what, other)
		}
		seen[key] = what
	}
	for _, site := range []string{"", "a", "b", "token"} {
		for i, k := range a.Keys(site, now) {
			add(fmt.Sprintf("site %q key %d", site, i), k)
		}
		for i, k := range a.CookieKey(site, now) {
			add(fmt.Sprintf("site %q cookie key %d", site, i), k)
		}
	}
	for i, k := range newECH(t, a, "a.test").Keys(now) {
		add(fmt.Sprintf("client hello key %d", i), [32]byte(k.PrivateKey))
	}
	add("token key", a.TokenKey())
	add("reset key", a.ResetKey())
	alone, other := newRing(t, Config{}), newRing(t, Config{})
	add("a random ring's reset key", alone.ResetKey())
	add("another random ring's reset key", other.ResetKey())
}

func TestSharedSecretSharesKeys(t *testing.T) {
	now := time.Now()
	secret := bytes.Repeat([]byte{7}, MinSecret)
	a, b := newRing(t, Config{Secret: secret}), newRing(t, Config{Secret: secret})
	secret[0] = 8 // a ring keeps its own copy
	if !slices.Equal(a.Keys("s", now), b.Keys("s", now)) || !slices.Equal(a.CookieKey("s", now), b.CookieKey("s", now)) || a.TokenKey() != b.TokenKey() || a.ResetKey() != b.ResetKey() {
		t.Error("two rings with one secret derive different keys")
	}
}

func TestSecretStaysOutOfLogs(t *testing.T) {
	r := newRing(t, Config{Secret: bytes.Repeat([]byte("S"), MinSecret)})
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(format, r); strings.Contains(out, "SSSS") || strings.Contains(out, "83 83") || strings.Contains(out, "0x53") {
			t.Errorf("%s prints the secret: %s", format, out)
		}
	}
}
