package http2

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// The names that are known are those of the static table.
func TestStaticNames(t *testing.T) {
	dec := hpack.NewDecoder(0, nil)
	first, known := map[string]int{}, 0
	for i := 1; i <= 61; i++ {
		f, err := dec.DecodeFull([]byte{indexed | byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		name := f[0].Name
		if first[name] == 0 {
			first[name] = i
		}
		if got := staticName(name); got != 0 {
			known++
			if got != first[name] {
				t.Errorf("%s: %d, want %d", name, got, first[name])
			}
		}
	}
	if known < 20 || staticName("x-other") != 0 {
		t.Errorf("%d names are known", known)
	}
}

// What is encoded decodes to itself, in every form.
func TestEncoding(t *testing.T) {
	dec := hpack.NewDecoder(0, nil)
	for _, status := range []int{100, 103, 200, 204, 206, 301, 304, 400, 404, 500, 503, 999} {
		f, err := dec.DecodeFull(appendStatus(nil, status))
		if err != nil || len(f) != 1 || f[0].Name != ":status" || f[0].Value != itoa(status) {
			t.Errorf("%d: %v, %v", status, f, err)
		}
	}
	for _, n := range []int{0, 1, 14, 15, 16, 126, 127, 128, 300, 20_000} {
		for _, name := range []string{"etag", "set-cookie", "x-" + strings.Repeat("n", n)} {
			value := strings.Repeat("v", n)
			if n%2 == 1 {
				value = strings.Repeat("~", n) // longer in Huffman's code
			}
			block, _ := appendFields(nil, exchange.Header{{Name: name, Value: value}})
			block = appendLength(appendField(block, name, value), int64(n))
			f, err := dec.DecodeFull(block)
			if err != nil || len(f) != 3 {
				t.Fatalf("%d: %v, %v", n, f, err)
			}
			for _, f := range f[:2] {
				if f.Name != name || f.Value != value || f.Sensitive != (name == "set-cookie") {
					t.Errorf("%q with %d bytes: %q, sensitive %v", name, n, f.Name, f.Sensitive)
				}
			}
			if f[2].Name != "content-length" || f[2].Value != itoa(n) {
				t.Errorf("length %+v", f[2])
			}
		}
	}
}

// What concerns one connection only does not go out, nor a second length.
func TestForbiddenFields(t *testing.T) {
	var h exchange.Header
	for _, name := range []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "content-length"} {
		h.Add(name, "1")
	}
	if block, dated := appendFields(nil, h); len(block) != 0 || dated {
		t.Errorf("sent %x", block)
	}
}

// A fifo gives what it got, and holds nothing when it is empty.
func TestFifo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var f fifo
	var want []byte
	for i := range 5000 {
		if random.IntN(2) == 0 {
			p := bytes.Repeat([]byte{byte(i)}, random.IntN(3*chunkSize))
			f.write(p)
			want = append(want, p...)
		} else {
			p := make([]byte, random.IntN(4*chunkSize))
			n := f.read(p)
			if n != min(len(p), len(want)) || !bytes.Equal(p[:n], want[:n]) {
				t.Fatalf("step %d: %d bytes, or others", i, n)
			}
			want = want[n:]
		}
		if f.len() != len(want) || f.len() == 0 && (f.chunks != nil || f.front(1) != nil) {
			t.Fatalf("step %d: %d bytes, want %d", i, f.len(), len(want))
		}
	}
	f.reset()
	if f.len() != 0 || f.chunks != nil {
		t.Error("not empty")
	}
}

func TestRecent(t *testing.T) {
	var r *recent
	if r.has(1) {
		t.Error("an empty set has something")
	}
	r.drop(1)
	for id := uint32(1); id <= 5; id++ {
		r = r.add(id, 3)
	}
	r.drop(4)
	for id, want := range map[uint32]bool{1: false, 2: false, 3: true, 4: false, 5: true} {
		if r.has(id) != want {
			t.Errorf("%d: %v", id, !want)
		}
	}
}
