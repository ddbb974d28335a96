package bfd

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"
)

// inInit is a packet of a peer in Init, which sends every second and takes
// a packet every 100 ms.
const inInit = "2080031812345678" + "9abcdef0" + "000f4240" + "000186a0" + "00000000"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	got, discard := parse(unhex(t, inInit))
	want := packet{
		state: Init, multiplier: 3, mine: 0x12345678, yours: 0x9abcdef0,
		minTx: time.Second, minRx: 100 * time.Millisecond,
	}
	if got != want || discard != kept {
		t.Errorf("%+v, %v, want %+v", got, discard, want)
	}
}

func TestAppend(t *testing.T) {
	p := packet{
		state: Up, diag: HeldDown, poll: true, final: true, demand: true, multiplier: 255, mine: 1, yours: 2,
		minTx: (1<<32 - 1) * time.Microsecond, minRx: 10 * time.Millisecond,
	}
	got := p.appendTo([]byte("x"))
	if want := append([]byte("x"), unhex(t, "27f2ff180000000100000002ffffffff0000271000000000")...); !bytes.Equal(got, want) {
		t.Errorf("\n%x, want\n%x", got, want)
	}
}

func TestDiscards(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(b []byte) []byte
		want   Discard
	}{
		{"as it is", func(b []byte) []byte { return b }, kept},
		{"bytes behind the end", func(b []byte) []byte { return append(b, 1, 2, 3) }, kept},
		{"a length that those bytes are part of", func(b []byte) []byte { b[3] = 27; return append(b, 1, 2, 3) }, kept},
		{"nothing", func([]byte) []byte { return nil }, BadLength},
		{"a byte short", func(b []byte) []byte { return b[:23] }, BadLength},
		{"says a byte less", func(b []byte) []byte { b[3] = 23; return b }, BadLength},
		{"says a byte more", func(b []byte) []byte { b[3] = 25; return b }, BadLength},
		{"version 0", func(b []byte) []byte { b[0] &= 0x1f; return b }, BadVersion},
		{"version 2", func(b []byte) []byte { b[0] = 2 << 5; return b }, BadVersion},
		{"multiplier 0", func(b []byte) []byte { b[2] = 0; return b }, BadMultiplier},
		{"multipoint", func(b []byte) []byte { b[1] |= flagMultipoint; return b }, Multipoint},
		{"authentication", func(b []byte) []byte { b[1] |= flagAuthentication; return b }, Authenticated},
		{"my discriminator 0", func(b []byte) []byte { copy(b[4:], []byte{0, 0, 0, 0}); return b }, BadMyDiscriminator},
		{"your discriminator 0 in init", func(b []byte) []byte { copy(b[8:], []byte{0, 0, 0, 0}); return b }, BadYourDiscriminator},
		{"your discriminator 0 in up", func(b []byte) []byte { b[1] = byte(Up) << 6; copy(b[8:], []byte{0, 0, 0, 0}); return b }, BadYourDiscriminator},
		{"your discriminator 0 in down", func(b []byte) []byte { b[1] = byte(Down) << 6; copy(b[8:], []byte{0, 0, 0, 0}); return b }, kept},
		{"your discriminator 0 held down", func(b []byte) []byte { b[1] = byte(AdminDown) << 6; copy(b[8:], []byte{0, 0, 0, 0}); return b }, kept},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, got := parse(tc.change(unhex(t, inInit)))
			if got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
			if got != kept && p != (packet{}) {
				t.Errorf("a discarded packet left %+v", p)
			}
		})
	}
}

// FuzzParse has every packet that is kept survive a round trip, and no
// other do anything.
func FuzzParse(f *testing.F) {
	f.Add(unhex(f, inInit))
	f.Add(unhex(f, "27f2ff180000000100000002ffffffff0000271000000000"))
	f.Add(unhex(f, "2040031800000001"+"00000000"+"000f4240"+"000f4240"+"00000000"))
	f.Add(unhex(f, "20c4031c000000010000000200000000000000000000000001040000"))
	f.Add([]byte{0x20})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, discard := parse(b)
		if discard != kept {
			if discard >= numDiscards || p != (packet{}) {
				t.Fatalf("%v left %+v", discard, p)
			}
			return
		}
		out := p.appendTo(nil)
		again, discard := parse(out)
		if len(out) != packetSize || discard != kept || again != p {
			t.Fatalf("%+v became %+v (%v) by %x", p, again, discard, out)
		}
	})
}

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		got  interface{ MarshalText() ([]byte, error) }
		want string
	}{
		{AdminDown, "admin-down"},
		{Up, "up"},
		{State(9), "state-9"},
		{NoDiagnostic, "none"},
		{Expired, "expired"},
		{HeldDown, "admin-down"},
		{Diagnostic(31), "diagnostic-31"},
		{BadLength, "length"},
		{BadYourDiscriminator, "your_discriminator"},
		{Discard(99), "discard-99"},
	} {
		if got, err := tc.got.MarshalText(); string(got) != tc.want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, tc.want)
		}
	}
}
