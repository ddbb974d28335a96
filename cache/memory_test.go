package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// held is the bytes that the bodies in the store occupy.
func held(s *Store) (n int64) {
	seen := map[*body]bool{}
	for r := range s.objects.Values() {
		for _, v := range r.variants {
			if !seen[v.body] {
				seen[v.body] = true
				n += v.body.held
			}
		}
	}
	return n
}

func TestMemoryBound(t *testing.T) {
	const memory = 2 << 20
	bubbleOf(t, memory, limits.Default(), func(t rig) {
		content := strings.Repeat("x", 10_000)
		o := always(200, content, "cache-control: max-age=3600")
		hot := func() (hits int) {
			for i := range 10 {
				if t.serve(get(fmt.Sprintf("/hot/%d", i)), plain, o).outcome == exchange.Hit {
					hits++
				}
			}
			return hits
		}
		for range 20 {
			hot()
		}
		bound := t.store.objects.GetMaximum()
		for i := range 10 * memory / len(content) {
			t.serve(get(fmt.Sprintf("/scan/%d", i)), plain, o)
			if w := t.store.objects.WeightedSize(); w > bound || bound > memory {
				t.Fatalf("weight %d after %d objects, bound %d", w, i, bound)
			}
			if i%50 == 0 {
				hot()
			}
		}
		if n := hot(); n != 10 {
			t.Errorf("%d of 10 hot objects outlived a scan", n)
		}
		synctest.Wait()
		if used, in := t.store.content.used.Load(), held(t.store); used != in {
			t.Errorf("%d bytes of content are counted, %d are stored", used, in)
		}
	})
}

// Content that is being read counts after it was evicted, and is given
// back when its reader is done.
func TestReadersOfTheEvictedCount(t *testing.T) {
	bubble(t, func(t rig) {
		o := always(200, strings.Repeat("x", 1000), "cache-control: max-age=3600")
		t.serve(get("/"), plain, o)
		res, err := t.store.Serve(t.Context(), get("/"), plain, o)
		if err != nil {
			t.Fatal(err)
		}
		t.store.Invalidate([]string{Key(get("/"), plain)})
		if n := t.store.content.used.Load(); n != 1000 {
			t.Errorf("%d bytes counted while a reader is open", n)
		}
		s := res.Response.Slice(10, 10)
		read(res, nil).want(t, exchange.Hit, 200, strings.Repeat("x", 1000))
		if b, err := io.ReadAll(s); len(b) != 10 || err != nil {
			t.Errorf("slice: %d bytes, %v", len(b), err)
		}
		s.Close()
		s.Close()
		if n := t.store.content.used.Load(); n != 0 {
			t.Errorf("%d bytes counted in the end", n)
		}
	})
}

// patternPeriod is after how many bytes pattern begins anew.
const patternPeriod = 1 << 16

// patternBlock is two periods of pattern, so that one period from any
// offset within the first is a slice of it.
var patternBlock = func() []byte {
	b := make([]byte, 2*patternPeriod)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i)
	}
	return b
}()

// pattern is an endless content in which every offset can be told.
type pattern struct{ off int64 }

func (p *pattern) Read(b []byte) (n int, _ error) {
	for n < len(b) {
		n += copy(b[n:], patternBlock[(p.off+int64(n))%patternPeriod:])
	}
	p.off += int64(n)
	return n, nil
}

// check reads r, which must be n bytes of pattern.
func check(r io.Reader, n int64) error {
	buf, off := make([]byte, patternPeriod), int64(0)
	for {
		k, err := r.Read(buf)
		if at := off % patternPeriod; !bytes.Equal(buf[:k], patternBlock[at:at+int64(k)]) {
			return fmt.Errorf("the %d bytes from %d on are wrong", k, off)
		}
		off += int64(k)
		if err == io.EOF && off == n {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", off, n, err)
		}
	}
}

func TestLargerThanTheStore(t *testing.T) {
	const memory, large = 16 << 20, largeBody
	for _, c := range []struct {
		name   string
		length int64
	}{
		{"length known", large},
		{"length not known", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubbleOf(t, memory, limits.Default(), func(t rig) {
				var mu sync.Mutex
				most := int64(0)
				start := make(chan struct{})
				o := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
					<-start
					r := reply(200, "", "cache-control: max-age=60")
					r.Body, r.Length = io.NopCloser(io.LimitReader(&pattern{}, large)), c.length
					return r, nil
				})
				done := make(chan error, 2)
				for range 2 {
					go func() {
						res, err := t.store.Serve(t.Context(), get("/"), plain, o)
						if err != nil {
							done <- err
							return
						}
						defer res.Response.Body.Close()
						done <- check(io.TeeReader(res.Response.Body, writer(func() {
							mu.Lock()
							defer mu.Unlock()
							most = max(most, t.store.content.used.Load())
						})), large)
					}()
				}
				synctest.Wait()
				close(start)
				for range 2 {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
				if most > memory {
					t.Errorf("%d bytes of content at once, memory is %d", most, memory)
				}
				synctest.Wait()
				if n := t.store.content.used.Load(); n != 0 {
					t.Errorf("%d bytes counted in the end", n)
				}
			})
		})
	}
}

type writer func()

func (w writer) Write(p []byte) (int, error) {
	w()
	return len(p), nil
}

// In a window the fill waits for the slowest reader, and goes on without
// one that leaves.
func TestWindowWaitsForTheSlowest(t *testing.T) {
	const size = 12 << 20
	bubbleOf(t, 16<<20, limits.Default(), func(t rig) {
		src := &pattern{}
		start := make(chan struct{})
		o := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			<-start
			r := reply(200, "", "cache-control: max-age=60")
			r.Body, r.Length = io.NopCloser(io.LimitReader(src, size)), -1
			return r, nil
		})
		p := &Policy{ObjectSize: 100_000}
		slow, quick := make(chan *Result, 1), make(chan error, 1)
		go func() {
			res, err := t.store.Serve(t.Context(), get("/"), p, o)
			if err != nil {
				t.Error(err)
			}
			slow <- res
		}()
		go func() {
			res, err := t.store.Serve(t.Context(), get("/"), p, o)
			if err == nil {
				defer res.Response.Body.Close()
				err = check(res.Response.Body, size)
			}
			quick <- err
		}()
		synctest.Wait()
		close(start)
		idle := <-slow
		synctest.Wait()
		if src.off > 100_000+windowAhead+2*maxPiece {
			t.Errorf("the fill is %d bytes ahead of a reader that has not begun", src.off)
		}
		select {
		case err := <-quick:
			t.Fatalf("the quick reader was not held: %v", err)
		default:
		}
		if o := t.serve(get("/"), p, always(200, "joined?")); o.body != "joined?" {
			t.Errorf("a late request got %q", clip(o.body))
		}
		idle.Response.Body.Close()
		if err := <-quick; err != nil {
			t.Error(err)
		}
	})
}

func TestObjectSize(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		length func(*exchange.Response) *exchange.Response
		second exchange.Outcome
	}{
		{"at the bound", 1000, func(r *exchange.Response) *exchange.Response { return r }, exchange.Hit},
		{"over it", 1001, func(r *exchange.Response) *exchange.Response { return r }, exchange.Miss},
		{"at the bound, not sized", 1000, unsized, exchange.Hit},
		{"over it, not sized", 1001, unsized, exchange.Miss},
		{"far over it, not sized", 100_000, unsized, exchange.Miss},
		{"empty", 0, func(r *exchange.Response) *exchange.Response { return r }, exchange.Hit},
		{"empty, not sized", 0, unsized, exchange.Hit},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t rig) {
				p := &Policy{ObjectSize: 1000}
				content := strings.Repeat("y", c.size)
				o := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
					return c.length(reply(200, content, "cache-control: max-age=60")), nil
				})
				t.serve(get("/"), p, o).want(t, exchange.Miss, 200, content)
				t.serve(get("/"), p, o).want(t, c.second, 200, content)
			})
		})
	}
}

// When slow readers hold the memory, fills go on without storing.
func TestNoRoomForFills(t *testing.T) {
	bubbleOf(t, 1<<20, limits.Default(), func(t rig) {
		t.store.content.add(1 << 20)
		for _, length := range []func(*exchange.Response) *exchange.Response{unsized, func(r *exchange.Response) *exchange.Response { return r }} {
			o := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
				return length(reply(200, "x", "cache-control: max-age=60")), nil
			})
			t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "x")
			t.serve(get("/"), plain, o).want(t, exchange.Miss, 200, "x")
		}
		t.store.content.add(-1 << 20)
		t.serve(get("/"), plain, always(200, "x", "cache-control: max-age=60")).want(t, exchange.Miss, 200, "x")
		t.serve(get("/"), plain, always(200, "y")).want(t, exchange.Hit, 200, "x")
	})
}

// A window needs one small piece to go on, however full the memory is.
func TestWindowWithoutMemory(t *testing.T) {
	const memory, size = 1 << 20, 3 << 20
	bubbleOf(t, memory, limits.Default(), func(t rig) {
		full := func() { t.store.content.add(memory) }
		o := fillFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			r := reply(200, "", "cache-control: max-age=60")
			r.Body, r.Length = io.NopCloser(io.MultiReader(
				io.LimitReader(&pattern{}, minPiece),
				&onRead{full, io.LimitReader(&pattern{minPiece}, size-minPiece)},
			)), -1
			return r, nil
		})
		res, err := t.store.Serve(t.Context(), get("/"), plain, o)
		if err != nil {
			t.Fatal(err)
		}
		most := int64(0)
		if err := check(io.TeeReader(res.Response.Body, writer(func() {
			most = max(most, t.store.content.used.Load())
		})), size); err != nil {
			t.Error(err)
		}
		res.Response.Body.Close()
		if over := most - memory; over <= 0 || over > 4*minPiece {
			t.Errorf("%d bytes over the memory", over)
		}
		synctest.Wait()
		if n := t.store.content.used.Load(); n != memory {
			t.Errorf("%d bytes are left behind", n-memory)
		}
	})
}

// onRead does something before its first byte is read.
type onRead struct {
	do func()
	io.Reader
}

func (o *onRead) Read(p []byte) (int, error) {
	if o.do != nil {
		o.do()
		o.do = nil
	}
	return o.Reader.Read(p)
}

// Of two fills that overlap, the answer that came later stays.
func TestLaterAnswerStays(t *testing.T) {
	bubble(t, func(t rig) {
		t.serve(get("/"), plain, always(200, "x", "cache-control: no-store")) // fills are alone from now on
		var body *script
		slow := fillFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
			body = newScript(ctx)
			r := reply(200, "", "cache-control: max-age=60")
			r.Body, r.Length = body, 3
			return r, nil
		})
		a := t.start(get("/"), plain, slow)
		synctest.Wait()
		time.Sleep(time.Second)
		t.store.mark(markName(Key(get("/"), plain), ""), time.Now().Add(time.Minute))
		t.serve(get("/"), plain, always(200, "new", "cache-control: max-age=60")).want(t, exchange.Miss, 200, "new")
		body.pieces <- "old"
		close(body.pieces)
		(<-a).want(t, exchange.Miss, 200, "old")
		synctest.Wait()
		t.serve(get("/"), plain, always(200, "y")).want(t, exchange.Hit, 200, "new")
	})
}

func TestVariantsPerKey(t *testing.T) {
	l := limits.Default()
	l.VariantsPerKey = 3
	bubbleOf(t, 4<<20, l, func(t rig) {
		o := always(200, "x", "cache-control: max-age=60", "vary: x-v")
		for i := range 5 {
			t.serve(get("/", fmt.Sprintf("x-v: %d", i)), plain, o).want(t, exchange.Miss, 200, "x")
		}
		for i, want := range []exchange.Outcome{4: exchange.Hit, 3: exchange.Hit, 2: exchange.Hit} {
			if want == exchange.Hit {
				t.serve(get("/", fmt.Sprintf("x-v: %d", i)), plain, o).want(t, want, 200, "x")
			}
		}
		t.serve(get("/", "x-v: 0"), plain, o).want(t, exchange.Miss, 200, "x")
		if n := t.limits.Hits(limits.VariantsPerKey); n != 3 {
			t.Errorf("the limit was met %d times", n)
		}
	})
}

// Stopping ends the fills and waits for them.
func TestRunWaitsForFills(t *testing.T) {
	bubble(t, func(t rig) {
		var body *script
		o := fillFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
			body = newScript(ctx)
			r := reply(200, "", "cache-control: max-age=60")
			r.Body, r.Length = body, 1<<20
			return r, nil
		})
		a := t.start(get("/"), plain, o)
		synctest.Wait()
		t.stop()
		if !body.isClosed() {
			t.Error("Run returned before the fill had ended")
		}
		(<-a).wantCause(t, exchange.HTTPResponseIncomplete)
	})
}

func hitRig(t testing.TB, lines ...string) (*Store, *exchange.Request) {
	s, err := New(Config{Memory: 16 << 20, Limits: limits.Default()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(runStore(t, s))
	o := always(200, strings.Repeat("x", 1024), "cache-control: max-age=3600", `etag: "a"`, "content-type: text/html",
		"vary: accept-encoding", "date: "+httpDate(time.Now()))
	req := get("/some/path?with=query", lines...)
	read(s.Serve(t.Context(), req, plain, o)).want(t, exchange.Miss, 200, strings.Repeat("x", 1024))
	return s, req
}

// The five: the key, the result with its response and reader, the fields,
// the function that makes slices, and an Age of more than two digits.
const hitAllocs = 5

func TestHitAllocs(t *testing.T) {
	s, req := hitRig(t, "accept-encoding: gzip, br", "user-agent: x")
	req.Arrived = req.Arrived.Add(1000 * time.Second)
	n := testing.AllocsPerRun(1000, func() {
		res, err := s.Serve(t.Context(), req, plain, nil)
		if err != nil || res.Outcome != exchange.Hit {
			t.Fatal(res, err)
		}
		res.Response.Body.Close()
	})
	if n > hitAllocs {
		t.Errorf("a hit allocates %.0f times, the budget is %d", n, hitAllocs)
	}
}

func BenchmarkHit(b *testing.B) {
	s, req := hitRig(b, "accept-encoding: gzip, br", "user-agent: x")
	b.ReportAllocs()
	for b.Loop() {
		res, err := s.Serve(b.Context(), req, plain, nil)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = res.Response.Body.(io.WriterTo).WriteTo(io.Discard)
		res.Response.Body.Close()
	}
}
