package exchange

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/internal/ascii"
)

func list() Header {
	return Header{{"a", "1"}, {"b", "2"}, {"a", "3"}, {"c", " x , ,y,"}}
}

func TestHeader(t *testing.T) {
	h := list()
	if h.Get("a") != "1" || h.Get("z") != "" || !h.Has("b") || h.Has("z") {
		t.Error("lookup")
	}
	if got := h.Values("a"); !slices.Equal(got, []string{"1", "3"}) {
		t.Errorf("values %q", got)
	}
	if got := h.Joined("a"); got != "1, 3" {
		t.Errorf("joined %q", got)
	}
	if got := slices.Collect(h.Members("c")); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("members %q", got)
	}
	h.Set("a", "9")
	if want := (Header{{"a", "9"}, {"b", "2"}, {"c", " x , ,y,"}}); !slices.Equal(h, want) {
		t.Errorf("after Set: %v", h)
	}
	h.Set("d", "4")
	h.Del("b")
	if want := (Header{{"a", "9"}, {"c", " x , ,y,"}, {"d", "4"}}); !slices.Equal(h, want) {
		t.Errorf("after Del: %v", h)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	r := &Request{Header: list()}
	c := r.Clone()
	c.Header.Set("a", "changed")
	c.Header.Del("b")
	if !slices.Equal(r.Header, list()) {
		t.Errorf("the original became %v", r.Header)
	}
}

func TestAuthority(t *testing.T) {
	for _, tc := range []struct{ host, port, want string }{
		{"a.example", "", "a.example"},
		{"a.example", "8443", "a.example:8443"},
		{"::1", "", "[::1]"},
		{"::1", "8443", "[::1]:8443"},
	} {
		if got := (&Request{Host: tc.host, Port: tc.port}).Authority(); got != tc.want {
			t.Errorf("%q and %q: %q, want %q", tc.host, tc.port, got, tc.want)
		}
	}
}

// Every value of an enumeration has a word of its own.
func TestWords(t *testing.T) {
	seen := map[string]bool{}
	for o := range NumOutcomes {
		seen[o.String()] = true
	}
	if len(seen) != int(NumOutcomes) {
		t.Errorf("outcomes share words: %v", seen)
	}
	clear(seen)
	for c := NoCause + 1; c < NumCauses; c++ {
		seen[c.String()] = true
		if c.Status() < 400 {
			t.Errorf("%v has status %d", c, c.Status())
		}
	}
	if len(seen) != int(NumCauses)-1 || seen[""] {
		t.Errorf("causes share words: %v", seen)
	}
}

func TestOriginBound(t *testing.T) {
	var c Conn
	if !c.AcquireOrigin(1) || c.AcquireOrigin(1) {
		t.Error("the bound of one does not hold")
	}
	c.ReleaseOrigin()
	if !c.AcquireOrigin(1) {
		t.Error("a place given back cannot be taken")
	}
	if !(*Conn)(nil).AcquireOrigin(0) {
		t.Error("a nil Conn has a bound")
	}
}

// TestManyOptions: each of many options takes its own field away, and no
// other.
func TestManyOptions(t *testing.T) {
	h, want := Header{}, Header{}
	var options []string
	for i := range 5000 {
		name := "x-" + strconv.Itoa(i)
		h.Add(name, "v")
		if i%2 == 0 {
			options = append(options, strings.ToUpper(name))
		} else {
			want.Add(name, "v")
		}
	}
	h.Add("connection", strings.Join(options, ", "))
	if got := h.EndToEnd(); !slices.Equal(got, want) {
		t.Errorf("%d fields are left, want %d", len(got), len(want))
	}
}

// BenchmarkEndToEnd: twice as many options and fields cost twice as much.
func BenchmarkEndToEnd(b *testing.B) {
	for _, n := range []int{10, 1000, 2000, 4000} {
		h := Header{}
		var options []string
		for i := range n {
			h.Add("x-"+strconv.Itoa(i), "v")
			options = append(options, "y-"+strconv.Itoa(i))
		}
		h.Add("connection", strings.Join(options, ","))
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				h.EndToEnd()
			}
		})
	}
}

// FuzzConnection: what Connection names does not pass, and what must pass
// does.
func FuzzConnection(f *testing.F) {
	f.Add("close, X-Internal", "x-internal")
	f.Add(" , ,Via", "via")
	f.Fuzz(func(t *testing.T, options, name string) {
		name = strings.ToLower(name)
		h := Header{{Name: "connection", Value: options}, {Name: name, Value: "v"}, {Name: "via", Value: "1.1 x"}}
		out := h.EndToEnd()
		if !out.Has("via") || out.Has("connection") {
			t.Errorf("Connection: %q left %v", options, out)
		}
		for option := range h.Members("connection") {
			if ascii.EqualFold(option, name) && !protected(name) && out.Has(name) {
				t.Errorf("Connection: %q left %q", options, name)
			}
		}
	})
}
