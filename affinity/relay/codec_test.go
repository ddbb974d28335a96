package relay

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// sameRequest compares what travels of two requests.
func sameRequest(a, b *exchange.Request) bool {
	x, y := *a, *b
	if !slices.Equal(x.Header, y.Header) || (x.TLS == nil) != (y.TLS == nil) || x.TLS != nil && *x.TLS != *y.TLS {
		return false
	}
	for _, r := range []*exchange.Request{&x, &y} {
		r.Header, r.TLS, r.Body, r.Trailer, r.Interim, r.Arrived, r.Conn = nil, nil, nil, nil, nil, time.Time{}, nil
	}
	return reflect.DeepEqual(x, y)
}

// dice makes values at random.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 1))} }

func (d dice) yes() bool { return d.IntN(2) == 0 }

func (d dice) text() string {
	if d.IntN(4) == 0 {
		return ""
	}
	b := make([]byte, d.IntN(300))
	for i := range b {
		b[i] = byte(d.IntN(256))
	}
	return string(b)
}

func (d dice) addrPort() netip.AddrPort {
	var v [16]byte
	for i := range v {
		v[i] = byte(d.IntN(256))
	}
	a := [...]netip.Addr{
		{},
		netip.AddrFrom4([4]byte(v[:])),
		netip.AddrFrom16(v),
		netip.AddrFrom16(v).WithZone("eth0"),
		netip.MustParseAddr("::ffff:192.0.2.1"),
	}[d.IntN(5)]
	return netip.AddrPortFrom(a, uint16(d.IntN(1<<16)))
}

func (d dice) header() (h exchange.Header) {
	for range d.IntN(10) {
		h.Add("x"+d.text(), d.text())
	}
	return h
}

func (d dice) request() *exchange.Request {
	r := &exchange.Request{
		Proto: exchange.Proto(d.IntN(4)), Method: "M" + d.text(), Scheme: d.text(), Host: d.text(), Port: d.text(),
		Path: d.text(), Query: d.text(), Upgrade: d.text(), Header: d.header(), Length: d.Int64N(1<<40) - 1, Early: d.yes(),
		Client: d.addrPort(), Local: d.addrPort(), ID: d.text(), Asked: exchange.Asks()[d.IntN(len(exchange.Asks()))],
		Session: d.text(), Endpoint: d.text(),
	}
	if d.yes() {
		r.TLS = &exchange.TLS{Version: uint16(d.IntN(1 << 16)), ServerName: d.text(), ALPN: d.text(), Resumed: d.yes()}
	}
	if d.yes() {
		r.Body = io.NopCloser(strings.NewReader(""))
		if d.yes() {
			r.Trailer = func() exchange.Header { return nil }
		}
	}
	if d.yes() {
		r.Interim = func(int, exchange.Header) {}
	}
	return r
}

// TestRequestsSurvive: whatever a request says, the other node reads the same,
// also after the buffer that it came in is used again.
func TestRequestsSurvive(t *testing.T) {
	var in incoming
	for seed := range uint64(2000) {
		r := newDice(seed).request()
		p := appendRequest(nil, flagsOf(r), r)
		if !in.parse(p, 100) || in.flags != flagsOf(r) || !sameRequest(&in.request, r) {
			t.Fatalf("seed %d: %+v\nwas read as %+v", seed, r, in.request)
		}
		kept := in.kept()
		clear(p)
		if !sameRequest(kept, r) {
			t.Fatalf("seed %d: kept %+v", seed, kept)
		}
		// Every shorter payload is refused, unless a field's end is its end.
		p = appendRequest(nil, flagsOf(r), r)
		fields := len(p) - len(appendFields(nil, r.Header))
		for n := range min(fields, 200) {
			if in.parse(p[:n], 100) {
				t.Fatalf("seed %d: %d of %d bytes are a request", seed, n, len(p))
			}
		}
	}
}

func TestResponsesSurvive(t *testing.T) {
	for seed := range uint64(2000) {
		d := newDice(seed)
		want := answer{
			marks:  []marks{0, isWhole, isTunnel}[d.IntN(3)],
			status: 100 + d.IntN(900), length: d.Int64N(1<<40) - 1, header: d.header(),
		}
		var c *exchange.Copy
		m := want.marks
		if d.yes() {
			c = &exchange.Copy{Kept: d.yes(), Age: time.Duration(d.Int64()), Fresh: -time.Duration(d.Int64()), Purges: d.Uint64()}
			want.copied = *c
			if want.marks |= hasCopy; c.Kept {
				want.marks |= isKept
			}
		}
		var got answer
		if !got.parse(appendResponse(appendMarks(nil, m, c), want.status, want.length, want.header)) || !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: %+v\nwas read as %+v", seed, want, got)
		}
	}
}

// TestFailuresSurvive: a cause is the same at the other node; one that it
// does not know is a fault inside.
func TestFailuresSurvive(t *testing.T) {
	for c := exchange.NoCause + 1; c < exchange.NumCauses; c++ {
		e := &exchange.Error{Cause: c, Endpoint: "192.0.2.1:80", Err: io.ErrUnexpectedEOF}
		var f failure
		if !f.parse(appendFailure(nil, e)) {
			t.Fatalf("%v cannot be read", e)
		}
		got := f.err(7)
		if got.Cause != c || got.Endpoint != e.Endpoint || got.Err.Error() != "node 7: unexpected EOF" {
			t.Errorf("%v was read as %v at %q", e, got, got.Endpoint)
		}
	}
	f := failure{cause: "a_new_one"}
	if got := f.err(7); got.Cause != exchange.ProxyInternalError {
		t.Errorf("an unknown cause was read as %v", got.Cause)
	}
	long := &exchange.Error{Cause: exchange.DNSError, Endpoint: strings.Repeat("e", 5000), Err: &fault{strings.Repeat("t", 1<<20)}}
	if p := appendFailure(nil, long); len(p) > kinds[frameFail].most || !f.parse(p) {
		t.Errorf("a long failure has %d bytes, at most %d", len(p), kinds[frameFail].most)
	}
}
