package origin

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

type headCase struct {
	raw  string
	head bool // answers HEAD
	want head
}

func TestParseFraming(t *testing.T) {
	parseHeads(t, map[string]headCase{
		"length": {
			raw:  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
			want: head{status: 200, framing: byLength, length: 5, persist: true, fields: exchange.Header{{Name: "content-length", Value: "5"}}},
		},
		"the same length twice": {
			raw:  "HTTP/1.1 200\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n",
			want: head{status: 200, framing: byLength, length: 5, persist: true, fields: exchange.Header{{Name: "content-length", Value: "5"}, {Name: "content-length", Value: "5"}}},
		},
		"no framing": {
			raw:  "HTTP/1.1 200 OK\r\n\r\n",
			want: head{status: 200, framing: byClose, length: -1},
		},
		"no reason, bare line feeds": {
			raw:  "HTTP/1.1 404\nX-A:b\n\n",
			want: head{status: 404, framing: byClose, length: -1, fields: exchange.Header{{Name: "x-a", Value: "b"}}},
		},
		"chunks": {
			raw:  "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
			want: head{status: 200, framing: byChunks, length: -1, persist: true, fields: exchange.Header{{Name: "transfer-encoding", Value: "Chunked"}}},
		},
		"HEAD": {
			raw:  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
			head: true,
			want: head{status: 200, framing: noContent, length: 5, persist: true, fields: exchange.Header{{Name: "content-length", Value: "5"}}},
		},
		"304": {
			raw:  "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
			want: head{status: 304, framing: noContent, length: 5, persist: true, fields: exchange.Header{{Name: "content-length", Value: "5"}}},
		},
		"interim": {
			raw:  "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
			want: head{status: 103, framing: noContent, length: -1, persist: true, fields: exchange.Header{{Name: "link", Value: "</a>"}}},
		},
	})
}

func TestParseFields(t *testing.T) {
	parseHeads(t, map[string]headCase{
		"close": {
			raw:  "HTTP/1.1 204 No Content\r\nConnection: x, CLOSE\r\n\r\n",
			want: head{status: 204, framing: noContent, length: -1, fields: exchange.Header{{Name: "connection", Value: "x, CLOSE"}}},
		},
		"HTTP/1.0": {
			raw:  "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
			want: head{status: 200, framing: byLength, fields: exchange.Header{{Name: "content-length", Value: "0"}}},
		},
		"HTTP/1.0 that keeps alive": {
			raw:  "HTTP/1.0 204 OK\r\nConnection: Keep-Alive\r\n\r\n",
			want: head{status: 204, framing: noContent, length: -1, persist: true, fields: exchange.Header{{Name: "connection", Value: "Keep-Alive"}}},
		},
		"folded, and space before the colon": {
			raw: "HTTP/1.1 204 OK\r\nX-A \t: b\r\n\t c \r\n  \r\nX-E:\r\n\r\n",
			want: head{
				status: 204, framing: noContent, length: -1, persist: true,
				fields: exchange.Header{{Name: "x-a", Value: "b c"}, {Name: "x-e", Value: ""}},
			},
		},
		"no standard status": {
			raw:  "HTTP/1.1 999 Request denied\r\nContent-Length: 1\r\n\r\n",
			want: head{status: 999, framing: byLength, length: 1, persist: true, fields: exchange.Header{{Name: "content-length", Value: "1"}}},
		},
	})
}

func parseHeads(t *testing.T, cases map[string]headCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if n := headEnd([]byte(c.raw+"more"), 0); n != len(c.raw) {
				t.Errorf("head ends at %d, want %d", n, len(c.raw))
			}
			got, err := parseHead([]byte(c.raw), c.head)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(&c.want, got, cmp.AllowUnexported(head{})); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// Whatever we accept, net/http must read alike from our plain form, and a
// parser of the original that accepts it must agree about the framing.
func FuzzHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), false)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n"), true)
	f.Add([]byte("HTTP/1.0 304\nA : b\n c\n\n"), false)
	f.Add([]byte("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"), false)
	f.Fuzz(func(t *testing.T, raw []byte, toHEAD bool) {
		end := headEnd(raw, 0)
		for done := range raw {
			if n := headEnd(raw, done); end > 0 && done <= end-3 && n != end {
				t.Fatalf("head ends at %d, or at %d when searched from %d", end, n, done)
			}
		}
		if end == 0 {
			return
		}
		h, err := parseHead(bytes.Clone(raw[:end]), toHEAD)
		if err != nil {
			return
		}
		req := &http.Request{Method: "GET"}
		if toHEAD {
			req.Method = "HEAD"
		}
		plain := h.appendPlain(nil)
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(plain)), req)
		if err != nil {
			t.Fatalf("net/http does not read %q, made of %q: %v", plain, raw[:end], err)
		}
		if res.StatusCode != h.status || h.status >= 200 && res.Close == h.persist {
			t.Errorf("%q became %q: status %d, close %v", raw[:end], plain, res.StatusCode, res.Close)
		}
		orig, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw[:end])), req)
		if err != nil || h.status < 200 || h.status == 204 || h.status == 304 {
			return
		}
		if orig.ContentLength != res.ContentLength || !toHEAD && !slices.Equal(orig.TransferEncoding, res.TransferEncoding) {
			t.Errorf("%q: net/http reads length %d %v, we say %d %v", raw[:end],
				orig.ContentLength, orig.TransferEncoding, res.ContentLength, res.TransferEncoding)
		}
	})
}

// The follower must end where a decoder does, wherever the bytes are cut.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\nrest"), 3)
	f.Add([]byte("5;a=b\r\nhello\r\n0\r\nX: y\r\nZ: w\r\n\r\n"), 1)
	f.Add([]byte("fffffffffffffffff\r\n"), 2)
	f.Fuzz(func(t *testing.T, raw []byte, step int) {
		used, done, err := followAll(raw, len(raw))
		if step > 0 {
			if u, d, e := followAll(raw, step); u != used || d != done || e != err {
				t.Fatalf("%d %v %v at once, %d %v %v in steps of %d", used, done, err, u, d, e, step)
			}
		}
		if !done {
			return
		}
		// net/http must read the same bytes to their end, no less and no more.
		br := bufio.NewReader(io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), bytes.NewReader(raw)))
		res, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return // stricter than we are, about sizes or trailers
		}
		rest, _ := io.ReadAll(br)
		if len(rest) != len(raw)-used {
			t.Errorf("%q: net/http leaves %q, we leave %q", raw, rest, raw[used:])
		}
	})
}

func followAll(raw []byte, step int) (used int, done bool, err error) {
	f := follower{framing: byChunks}
	for used < len(raw) {
		part := raw[used:min(len(raw), used+step)]
		n, done, err := f.next(part)
		used += n
		if done || err != nil {
			return used, done, err
		}
		if n != len(part) {
			return used, false, io.ErrShortWrite
		}
	}
	return used, false, nil
}
