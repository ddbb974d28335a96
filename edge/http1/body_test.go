package http1

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// reading answers with what it read, or as the edge does when a fill
// failed by the request's content.
func reading(ctx context.Context, w exchange.Writer, r *exchange.Request) {
	b, err := io.ReadAll(r.Body)
	var xe *exchange.Error
	switch {
	case err == nil:
		text := string(b)
		if r.Trailer != nil {
			for _, f := range r.Trailer() {
				text += " " + f.Name + "=" + f.Value
			}
		}
		reply(w, r, 200, text)
	case errors.As(err, &xe) && ctx.Err() == nil:
		reply(w, r, xe.Cause.Status(), xe.Err.Error())
	default:
		w.Abort()
	}
}

const chunkedPost = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestBody(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		{"chunked", chunkedPost + "3\r\nhel\r\n02\r\nlo\r\n0\r\n\r\n", "hello"},
		{"hexadecimal", chunkedPost + "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"},
		{"nothing, chunked", chunkedPost + "0\r\n\r\n", ""},
		{"zeros", chunkedPost + "00000000001\r\nx\r\n000\r\n\r\n", "x"},
		{"extensions", chunkedPost + "1;a=b;c=\"d;\\\"\t\";e\r\ny\r\n0;last\r\n\r\n", "y"},
		{"trailer", chunkedPost + "1\r\nx\r\n0\r\nServer-Timing: \"a\"\r\nContent-Digest:  b \r\n\r\n", `x server-timing="a" content-digest=b`},
		{"trailer that does not go on", chunkedPost + "1\r\nx\r\n0\r\nContent-Length: 7\r\nHost: b\r\nX-Any: c\r\nsignature: d\r\n\r\n", "x signature=d"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, pieces := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					h := &handler{serve: reading}
					s := open(t, h, nil)
					next := "POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nz"
					if !pieces {
						s.say(t, tc.text+next)
					} else {
						for _, c := range tc.text + next {
							s.say(t, string(c))
							synctest.Wait()
						}
					}
					text := s.rest()
					codes, _ := statuses(t, text)
					if !slices.Equal(codes, []int{200, 200}) || !strings.Contains(text, "\r\n\r\n"+tc.want+"HTTP/1.1 200") || !strings.HasSuffix(text, "\r\n\r\nz") {
						t.Errorf("%q", text)
					}
				})
			}
		})
	}
}

func TestBodyRefused(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		want       error
		limit      limits.Name
	}{
		{"no size", "\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"sign", "+1\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"minus", "-1\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"prefix", "0x1\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"space before the size", " 1\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"space behind the size", "1 \r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"tab behind the size", "1\t\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"underscore", "1_0\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"no digit", "g\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"long size", "10000000000000001\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"many zeros", "0000000000000001\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"NUL", "1\x00\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"LF behind the size", "1\nx\r\n0\r\n\r\n", errChunk, 0},
		{"CR behind the size", "1\rx\r\n0\r\n\r\n", errChunk, 0},
		{"LF behind the data", "1\r\nx\n0\r\n\r\n", errChunk, 0},
		{"CR behind the data", "1\r\nx\r0\r\n\r\n", errChunk, 0},
		{"nothing behind the data", "1\r\nx0\r\n\r\n", errChunk, 0},
		{"more data", "1\r\nxy\r\n0\r\n\r\n", errChunk, 0},
		{"empty extension", "1;\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"space in an extension", "1; a\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"extension without a name", "1;=a\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"extension without a value", "1;a=\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"LF in an extension", "1;a\nx\r\n0\r\n\r\n", errChunk, 0},
		{"CR in an extension", "1;a\rb\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"LF in a quoted value", "1;a=\"\n\"\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"CR LF in a quoted value", "1;a=\"\r\n\"\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"quoted LF", "1;a=\"\\\n\"\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"token behind a quoted value", "1;a=\"b\"c\r\nx\r\n0\r\n\r\n", errChunk, 0},
		{"long extension", "1;" + strings.Repeat("a", 17<<10) + "\r\nx\r\n0\r\n\r\n", errChunkOverhead, limits.ChunkOverhead},
		{"many extensions", strings.Repeat("1;aaaaaaaaaaaaaaaa\r\nx\r\n", 1200) + "0\r\n\r\n", errChunkOverhead, limits.ChunkOverhead},
		{"LF at the end", "0\r\n\n", errTrailer, 0},
		{"LF in the trailer", "0\r\nA: b\n\r\n", errTrailer, 0},
		{"CR in the trailer", "0\r\nA: b\rC: d\r\n\r\n", errTrailer, 0},
		{"no field in the trailer", "0\r\nA\r\n\r\n", errTrailer, 0},
		{"space before the colon", "0\r\nA : b\r\n\r\n", errTrailer, 0},
		{"trailer that goes on", "0\r\nA: b\r\n c\r\n\r\n", errTrailer, 0},
		{"coding in the trailer", "0\r\nTransfer-Encoding: chunked\r\n\r\n", errTrailer, 0},
		{"connection in the trailer", "0\r\nConnection: x\r\n\r\n", errTrailer, 0},
		{"long trailer", "0\r\nA: " + strings.Repeat("b", 8<<10) + "\r\n\r\n", errTrailerSize, limits.RequestTrailers},
		{"many fields in the trailer", "0\r\n" + strings.Repeat("digest: b\r\n", 101) + "\r\n", errTrailerSize, limits.RequestTrailers},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &handler{serve: reading}
				s := open(t, h, nil)
				s.say(t, chunkedPost+tc.body+"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
				text := s.rest()
				codes, closes := statuses(t, text)
				if !slices.Equal(codes, []int{400}) || !closes || !strings.HasSuffix(text, "\r\n\r\n"+tc.want.Error()) {
					t.Errorf("%q", text)
				}
				if tc.limit != 0 && s.counters.Hits(tc.limit) != 1 {
					t.Errorf("%v was counted %d times", tc.limit, s.counters.Hits(tc.limit))
				}
			})
		})
	}
}

// TestSmallChunks: a stream of small events is no attack.
func TestSmallChunks(t *testing.T) {
	lim := limits.Default()
	d := chunked{lim: &lim}
	for range 1 << 16 {
		for b := []byte("1\r\nx\r\n"); len(b) > 0; {
			_, n, err := d.decode(b, len(b))
			if err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
	}
}

// TestLargeBody: content that is larger than every buffer, read in pieces
// of all sizes, and a request behind it.
func TestLargeBody(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	for _, chunks := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var got []byte
			s := open(t, &handler{serve: func(_ context.Context, w exchange.Writer, r *exchange.Request) {
				for size, err := 1, error(nil); err == nil && r.Body != nil; size = size*3%100_000 + 1 {
					p := make([]byte, size)
					var n int
					n, err = r.Body.Read(p)
					got = append(got, p[:n]...)
				}
				reply(w, r, 200, "")
			}}, nil)
			if chunks {
				s.say(t, chunkedPost+"27100\r\n"+string(text)+"\r\n0\r\n\r\n")
			} else {
				s.say(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 160000\r\n\r\n"+string(text))
			}
			s.say(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if codes, _ := statuses(t, s.rest()); !slices.Equal(codes, []int{200, 200}) || !bytes.Equal(got, text) {
				t.Errorf("%v, %d bytes of content", codes, len(got))
			}
		})
	}
}

// TestContinue: the client is asked for its content when somebody reads it,
// and only then.
func TestContinue(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
	const next = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	read := func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		if r.Body != nil {
			_, _ = io.ReadAll(r.Body)
		}
		reply(w, r, 200, "")
	}
	refuse := func(_ context.Context, w exchange.Writer, r *exchange.Request) { reply(w, r, 403, "") }
	late := func(_ context.Context, w exchange.Writer, r *exchange.Request) {
		reply(w, r, 200, "")
		_, _ = io.ReadAll(r.Body)
	}
	for _, tc := range []struct {
		name         string
		serve        func(context.Context, exchange.Writer, *exchange.Request)
		first, later string // what the client sends before and after it got something
		want         []int
	}{
		{"read", read, head, "ab" + next, []int{100, 200, 200}},
		{"read, in HTTP/1.0", read, strings.Replace(head, "1.1", "1.0", 1) + "ab", "", []int{200}},
		{"not read", refuse, head, "ab" + next, []int{403}},
		{"not read, sent all the same", refuse, head + "ab" + next, "", []int{403, 403}},
		{"read after the answer", late, head, "ab" + next, []int{200}},
		{"other expectation", read, strings.Replace(head, "100-", "200-", 1), "", []int{417}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := open(t, &handler{serve: tc.serve}, nil)
				s.say(t, tc.first)
				synctest.Wait()
				_, _ = io.WriteString(s.client, tc.later)
				_ = s.client.CloseWrite()
				var codes []int
				for line := range strings.SplitSeq(s.rest(), "HTTP/1.") {
					if len(line) > 5 {
						codes = append(codes, int(line[2]-'0')*100+int(line[3]-'0')*10+int(line[4]-'0'))
					}
				}
				if !slices.Equal(codes, tc.want) {
					t.Errorf("%v, want %v", codes, tc.want)
				}
			})
		})
	}
}

// TestUnread: what becomes of the connection when nobody reads a request's
// content.
func TestUnread(t *testing.T) {
	const next = "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	long := strings.Repeat("x", 300<<10)
	for _, tc := range []struct {
		name, first, later string
		kept, closes       bool // the connection; and the first answer says so
	}{
		{"here already", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "", true, false},
		{"here already, chunked", chunkedPost + "5\r\nhello\r\n0\r\n\r\n", "", true, false},
		{"soon here", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "llo", true, false},
		{"never here", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "", false, false},
		{"of no known length", chunkedPost + "5\r\nhe", "llo\r\n0\r\n\r\n", false, true},
		{"here already, malformed", chunkedPost + "5\r\nhello\r\n!\r\n\r\n", "", false, true},
		{"too long", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 307200\r\n\r\nhe", long[2:], false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &handler{}
				s := open(t, h, nil)
				s.say(t, tc.first)
				synctest.Wait()
				start := time.Now()
				var client sync.WaitGroup
				defer client.Wait()
				client.Go(func() {
					if tc.later != "" || tc.kept {
						_, _ = io.WriteString(s.client, tc.later+next)
					}
				})
				text := s.rest()
				<-s.done
				codes, _ := statuses(t, text)
				first, _, _ := strings.Cut(text, "\r\n\r\n")
				if kept := len(codes) == 2; kept != tc.kept || strings.Contains(first, "Connection: close") != tc.closes {
					t.Errorf("%q", text)
				}
				if d := time.Since(start); d > 2*lingerTime {
					t.Errorf("it took %v", d)
				}
				for _, line := range h.lines()[1:] {
					if line != "GET a /next" {
						t.Errorf("asked %q", h.lines())
					}
				}
				if want := uint64(strings.Count(tc.name, "too long")); s.counters.Hits(limits.BodyDrain) < want {
					t.Error("limits.BodyDrain was not counted")
				}
			})
		})
	}
}
