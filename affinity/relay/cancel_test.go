package relay

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// causeOf returns the cause of an error of Ask, or of content.
func causeOf(t *testing.T, err error) exchange.Cause {
	t.Helper()
	e, ok := errors.AsType[*exchange.Error](err)
	if !ok {
		t.Fatalf("%v is no *exchange.Error", err)
	}
	return e.Cause
}

// TestAskerGivesUp: whichever way an asker gives up, the exchange at the other
// end is told.
func TestAskerGivesUp(t *testing.T) {
	for _, tc := range []struct {
		name   string
		headed bool // the head comes before
		giveUp func(t *testing.T, cancel func(), resp *exchange.Response)
	}{
		{"before the answer", false, func(_ *testing.T, cancel func(), _ *exchange.Response) { cancel() }},
		{"after the head, reading nothing", true, func(t *testing.T, cancel func(), resp *exchange.Response) {
			cancel()
			synctest.Wait()
			if _, err := resp.Body.Read(make([]byte, 1)); causeOf(t, err) != exchange.ClientAborted {
				t.Errorf("reading on: %v", err)
			}
		}},
		{"by closing the content", true, func(t *testing.T, _ func(), resp *exchange.Response) {
			_ = resp.Body.Close()
			if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, errClosed) {
				t.Errorf("reading on: %v", err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cause := make(chan error, 1)
				h := &stub{serve: func(ctx context.Context, w exchange.PeerWriter, _ *exchange.Request) {
					if tc.headed {
						_ = w.Head(200, nil, 100)
						_ = w.Flush()
					}
					<-ctx.Done()
					cause <- context.Cause(ctx)
					if _, err := w.Write([]byte("x")); err == nil {
						t.Error("somebody takes the content")
					}
				}}
				p := newPair(t, h, options{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var resp *exchange.Response
				asked := make(chan error, 1)
				go func() {
					var err error
					resp, err = p.peers.Ask(ctx, 1, get("/"))
					asked <- err
				}()
				synctest.Wait()
				tc.giveUp(t, cancel, resp)
				if err := <-asked; !tc.headed && causeOf(t, err) != exchange.ClientAborted {
					t.Errorf("asking: %v", err)
				}
				if got := <-cause; got != errCanceled {
					t.Errorf("the exchange ended by %v", got)
				}
				if tc.headed {
					_ = resp.Body.Close()
				}
			})
		})
	}
}

// TestDeadline: a request whose time is over says so.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{serve: func(ctx context.Context, _ exchange.PeerWriter, _ *exchange.Request) { <-ctx.Done() }}
		p := newPair(t, h, options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.peers.Ask(ctx, 1, get("/")); causeOf(t, err) != exchange.HTTPResponseTimeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// TestAnswerCut: an answer that cannot be brought to its end does not look
// whole.
func TestAnswerCut(t *testing.T) {
	for _, tc := range []struct {
		name  string
		serve func(w exchange.PeerWriter)
		says  string // what asking returns, "" when the content does
		cause exchange.Cause
	}{
		{"aborted", func(w exchange.PeerWriter) {
			_ = w.Head(200, nil, -1)
			_, _ = io.WriteString(w, "some")
			w.Abort()
		}, "", exchange.HTTPResponseIncomplete},
		{"shorter than its length", func(w exchange.PeerWriter) {
			_ = w.Head(200, nil, 10)
			_, _ = io.WriteString(w, "some")
		}, "", exchange.HTTPResponseIncomplete},
		{"longer than its length", func(w exchange.PeerWriter) {
			_ = w.Head(200, nil, 2)
			_, _ = io.WriteString(w, "some")
		}, "", exchange.HTTPResponseIncomplete},
		{"panic", func(w exchange.PeerWriter) {
			_ = w.Head(200, nil, -1)
			panic("BUG: test")
		}, "", exchange.HTTPResponseIncomplete},
		{"nothing", func(exchange.PeerWriter) {}, "without an answer", exchange.ProxyInternalError},
		{"aborted before its head", func(w exchange.PeerWriter) { w.Abort() }, "cut its answer short", exchange.HTTPResponseIncomplete},
		{"a head too large", func(w exchange.PeerWriter) {
			if err := w.Head(200, exchange.Header{{Name: "x", Value: strings.Repeat("x", 1<<20)}}, 0); err == nil {
				t.Error("a head of 1 MiB was taken")
			}
		}, "larger than", exchange.HTTPResponseHeadSize},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, _ *exchange.Request) { tc.serve(w) }}
			p := newPair(t, h, options{})
			resp, err := p.ask(get("/"))
			if tc.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tc.says) || causeOf(t, err) != tc.cause {
				t.Errorf("error %v, want %v", err, tc.cause)
			}
		})
	}
}

// TestPanicOfAHit costs the connection, which is soon there again.
func TestPanicOfAHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := object(1)
		broken.Head = nil
		h := &stub{stored: map[string]*exchange.Stored{"/broken": broken, "/a": object(1)}}
		p := newPair(t, h, options{})
		_, err := p.ask(get("/broken"))
		unreached(t, err, Lost)
		p.reached(false)
		p.reached(true)
		p.must(get("/a"))
		if n := counted(p.server.met.link.panics); n != 1 {
			t.Errorf("%v panics", n)
		}
	})
}

// TestShortStoredContent: stored content that ends before its end does not
// look whole either.
func TestShortStoredContent(t *testing.T) {
	for _, n := range []int{100, 1 << 20} {
		st := object(n)
		st.Head.Length++
		h := &stub{stored: map[string]*exchange.Stored{"/a": st}}
		p := newPair(t, h, options{})
		resp, err := p.ask(get("/a"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); causeOf(t, err) != exchange.HTTPResponseIncomplete {
			t.Errorf("%d bytes: %v", n, err)
		}
		_ = resp.Body.Close()
		p.endAsk()
		_ = p.endServe()
		if h.sentCut.Load() != 1 || h.sentWhole.Load() != 0 {
			t.Errorf("cut %d times, whole %d times", h.sentCut.Load(), h.sentWhole.Load())
		}
	}
}

// TestRefusals: what the other node says in place of an answer.
func TestRefusals(t *testing.T) {
	answers := map[string]func(w exchange.PeerWriter, r *exchange.Request){
		"/fail": func(w exchange.PeerWriter, _ *exchange.Request) {
			w.Fail(&exchange.Error{Cause: exchange.DNSTimeout, Endpoint: "192.0.2.1:80", Err: errors.New("no such host")})
		},
		"/decline":       func(w exchange.PeerWriter, _ *exchange.Request) { w.Decline(7) },
		"/decline/blank": func(w exchange.PeerWriter, _ *exchange.Request) { w.Decline(0) },
		"/decline/late": func(w exchange.PeerWriter, r *exchange.Request) {
			_, _ = io.ReadAll(r.Body)
			w.Decline(7)
		},
	}
	h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) { answers[r.Path](w, r) }}
	p := newPair(t, h, options{})

	_, err := p.ask(get("/fail"))
	e, ok := errors.AsType[*exchange.Error](err)
	if !ok || e.Cause != exchange.DNSTimeout || e.Endpoint != "192.0.2.1:80" || !strings.HasSuffix(e.Error(), "node 1: no such host") {
		t.Errorf("failed by %v", err)
	}
	for path, owner := range map[string]uint8{"/decline": 7, "/decline/blank": 0} {
		r := post(path, "")
		r.Body, r.Length = touched{t}, 5
		_, err = p.ask(r)
		if d, ok := errors.AsType[*Declined](err); !ok || uint8(d.Owner) != owner {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err = p.ask(post("/decline/late", "abc")); causeOf(t, err) != exchange.ProxyInternalError {
		t.Errorf("declined after the content was read: %v", err)
	}
}

// failing is a body that gives some, then fails.
type failing struct{ some io.Reader }

var errFails = errors.New("the client has left")

func (f failing) Read(p []byte) (int, error) {
	n, err := f.some.Read(p)
	if err == io.EOF {
		err = errFails
	}
	return n, err
}
func (failing) Close() error { return nil }

// TestUploadFails: when the client leaves in the middle of its request, both
// nodes know why.
func TestUploadFails(t *testing.T) {
	for _, tc := range []struct {
		name   string
		body   io.ReadCloser
		length int64
		want   error
	}{
		{"the client leaves", failing{strings.NewReader("some")}, 10, errFails},
		{"too short", io.NopCloser(strings.NewReader("some")), 10, io.ErrUnexpectedEOF},
		{"too long", io.NopCloser(strings.NewReader("some")), 3, errTooLong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			read := make(chan error, 1)
			h := &stub{serve: func(ctx context.Context, _ exchange.PeerWriter, r *exchange.Request) {
				_, err := io.ReadAll(r.Body)
				read <- err
				<-ctx.Done()
			}}
			p := newPair(t, h, options{})
			r := post("/", "")
			r.Body, r.Length = tc.body, tc.length
			if _, err := p.ask(r); !errors.Is(err, tc.want) || causeOf(t, err) != exchange.ClientAborted {
				t.Errorf("asking: %v", err)
			}
			if err := <-read; !errors.Is(err, errCanceled) {
				t.Errorf("reading there: %v", err)
			}
		})
	}
}

// TestEarlyAnswer: an answer may come before the request's content is read, or
// without that it ever is.
func TestEarlyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
			_ = w.Head(200, nil, 5)
			_ = w.Flush()
			if r.Path == "/read" {
				b, err := io.ReadAll(r.Body)
				if len(b) != 1<<20 || err != nil {
					t.Errorf("%d bytes and %v", len(b), err)
				}
			}
			_, _ = io.WriteString(w, "early")
		}}
		p := newPair(t, h, options{})
		_, body := p.must(post("/read", string(letters(1<<20))))
		if body != "early" {
			t.Errorf("%q", body)
		}
		r := post("/ignore", "")
		r.Body, r.Length = touched{t}, 1<<20
		if _, body = p.must(r); body != "early" {
			t.Errorf("%q", body)
		}
	})
}

// TestUploadEndsWithTheExchange: what is still on its way when the answer is
// over is read no further.
func TestUploadEndsWithTheExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &stub{serve: func(_ context.Context, w exchange.PeerWriter, r *exchange.Request) {
			_, _ = r.Body.Read(make([]byte, 10))
			_ = w.Head(200, nil, 0)
		}}
		p := newPair(t, h, options{})
		up, feed := io.Pipe()
		r := post("/", "")
		r.Body, r.Length = up, -1
		written := make(chan int, 1)
		go func() {
			n, _ := feed.Write(letters(1 << 20))
			written <- n
		}()
		p.must(r)
		synctest.Wait()
		_ = up.Close() // as the front end does
		if n := <-written; n > firstWindow+maxData {
			t.Errorf("%d bytes were read of a body that nobody wants", n)
		}
	})
}

// TestTunnelsEnd: a tunnel that one end closes is closed for the other.
func TestTunnelsEnd(t *testing.T) {
	for _, asker := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			h := &stub{serve: func(ctx context.Context, w exchange.PeerWriter, _ *exchange.Request) {
				tun, err := w.Tunnel(nil)
				if err != nil {
					t.Error(err)
					return
				}
				if asker {
					_, err = tun.Read(make([]byte, 10))
					ended <- err
					<-ctx.Done()
				}
				_ = tun.Close()
			}}
			p := newPair(t, h, options{})
			r := get("/")
			r.Upgrade = "websocket"
			resp, err := p.ask(r)
			if err != nil {
				t.Fatal(err)
			}
			if asker {
				_ = resp.Tunnel.Close()
				if err := <-ended; !errors.Is(err, errCanceled) {
					t.Errorf("reading there: %v", err)
				}
			} else if _, err := resp.Tunnel.Read(make([]byte, 10)); causeOf(t, err) != exchange.HTTPResponseIncomplete {
				t.Errorf("reading here: %v", err)
			}
			if _, err := resp.Tunnel.Write([]byte("x")); err == nil {
				t.Error("writing to what was closed")
			}
			_ = resp.Tunnel.Close()
		})
	}
}
