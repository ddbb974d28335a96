package sessions

import (
	"encoding/base64"
	"strings"
	"testing"
)

// keysOf makes keys of letters: the first seals, all open.
func keysOf(letters string) [][32]byte {
	var keys [][32]byte
	for i := range len(letters) {
		keys = append(keys, [32]byte{letters[i]})
	}
	return keys
}

func TestCookie(t *testing.T) {
	c := NewCookie()
	c.Owner, c.Endpoint = 7, "main"
	sealed := Seal(keysOf("abc"), "shop", c)
	for _, k := range []struct {
		name   string
		keys   string
		site   string
		opens  bool
		ageing bool
	}{
		{"the key that sealed it", "abc", "shop", true, false},
		{"the next epoch", "bac", "shop", true, false},
		{"the one after", "bca", "shop", true, true},
		{"later", "bcd", "shop", false, false},
		{"no keys", "", "shop", false, false},
		{"one key", "a", "shop", true, false},
		{"another site", "abc", "blog", false, false},
	} {
		t.Run(k.name, func(t *testing.T) {
			got, ok := Open(keysOf(k.keys), k.site, sealed)
			want := Cookie{}
			if k.opens {
				want = c
				want.Aging = k.ageing
			}
			if ok != k.opens || got != want {
				t.Errorf("%+v, %v; want %+v, %v", got, ok, want, k.opens)
			}
		})
	}
	if other := NewCookie(); other.ID == c.ID || other.Session() == c.Session() || len(c.Session()) != 16 {
		t.Errorf("two sessions: %q and %q", other.Session(), c.Session())
	}
}

func TestCookieLength(t *testing.T) {
	keys := keysOf("a")
	for _, c := range []struct {
		name, endpoint, want string
	}{
		{"none", "", ""},
		{"short", "a", "a"},
		{"longest", strings.Repeat("e", MaxEndpoint), strings.Repeat("e", MaxEndpoint)},
		{"too long", strings.Repeat("e", MaxEndpoint+1), ""},
		{"any bytes", "\x00;, \xff", "\x00;, \xff"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Seal(keys, "shop", Cookie{Owner: 1, Endpoint: c.endpoint})
			if len(v) > MaxCookie || strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
				t.Errorf("value %q", v)
			}
			if got, ok := Open(keys, "shop", v); !ok || got.Endpoint != c.want {
				t.Errorf("%+v, %v", got, ok)
			}
		})
	}
}

// TestForgedCookies: no change of a cookie opens, down to a single bit, and
// no other spelling of it does.
func TestForgedCookies(t *testing.T) {
	keys := keysOf("ab")
	value := Seal(keys, "shop", Cookie{Owner: 7, Endpoint: "main", ID: [8]byte{1, 2, 3}})
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(raw) {
		b := append([]byte(nil), raw...)
		b[bit/8] ^= 1 << (bit % 8)
		if c, ok := Open(keys, "shop", base64.RawURLEncoding.EncodeToString(b)); ok {
			t.Errorf("bit %d turned over opens as %+v", bit, c)
		}
	}
	for _, forged := range []string{
		"", "A", value[1:], value[:len(value)-1], value + "A", value + "=", value + "\n", "\r\n" + value,
		base64.RawURLEncoding.EncodeToString(raw[:len(raw)-16]), strings.Repeat("A", MaxCookie), strings.Repeat("A", MaxCookie+1),
	} {
		if c, ok := Open(keys, "shop", forged); ok {
			t.Errorf("%q opens as %+v", forged, c)
		}
	}
}

// FuzzOpen: what opens was sealed with one of the keys, and is spelled in
// the one way.
func FuzzOpen(f *testing.F) {
	keys := keysOf("abc")
	f.Add(Seal(keys, "shop", Cookie{Owner: 1, Endpoint: "main"}), "main", uint8(1))
	f.Add("AQEAAAAAAAAAAA", "", uint8(255))
	f.Fuzz(func(t *testing.T, value, endpoint string, id uint8) {
		if c, ok := Open(keys, "shop", value); ok && Seal(keys, "shop", c) != value && !c.Aging {
			t.Errorf("%q opens as %+v, which is sealed otherwise", value, c)
		}
		c := Cookie{Owner: 7, Endpoint: endpoint, ID: [8]byte{id}}
		if len(endpoint) > MaxEndpoint {
			c.Endpoint = ""
		}
		if got, ok := Open(keys, "shop", Seal(keys, "shop", c)); !ok || got != c {
			t.Errorf("%+v became %+v, %v", c, got, ok)
		}
	})
}
