package http2

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// raw writes a frame as it is.
func (c *client) raw(kind http2.FrameType, flags http2.Flags, id uint32, payload string) {
	_ = c.framer.WriteRawFrame(kind, flags, id, []byte(payload))
}

func TestConnectionErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		send func(c *client)
		code http2.ErrCode
	}{
		"DATA on stream 0":                {func(c *client) { c.raw(frameData, 0, 0, "x") }, http2.ErrCodeProtocol},
		"DATA on an idle stream":          {func(c *client) { c.raw(frameData, 0, 9, "x") }, http2.ErrCodeProtocol},
		"padded DATA without length":      {func(c *client) { c.post(1, "/"); c.raw(frameData, flagPadded, 1, "") }, http2.ErrCodeFrameSize},
		"more padding than DATA":          {func(c *client) { c.post(1, "/"); c.raw(frameData, flagPadded, 1, "\x05abcd") }, http2.ErrCodeProtocol},
		"DATA on an ended stream":         {func(c *client) { c.get(1, "/"); c.flush(); c.collect(1); c.raw(frameData, 0, 1, "x") }, http2.ErrCodeStreamClosed},
		"HEADERS on an ended stream":      {func(c *client) { c.get(1, "/"); c.flush(); c.collect(1); c.get(1, "/") }, http2.ErrCodeStreamClosed},
		"HEADERS on a skipped stream":     {func(c *client) { c.get(5, "/"); c.flush(); c.collect(5); c.get(3, "/") }, http2.ErrCodeProtocol},
		"HEADERS on stream 0":             {func(c *client) { c.raw(frameHeaders, flagEndHeaders, 0, "\x82") }, http2.ErrCodeProtocol},
		"HEADERS on an even stream":       {func(c *client) { c.get(2, "/") }, http2.ErrCodeProtocol},
		"HEADERS with too much padding":   {func(c *client) { c.raw(frameHeaders, flagEndHeaders|flagPadded, 1, "\x02\x82") }, http2.ErrCodeProtocol},
		"HEADERS without their priority":  {func(c *client) { c.raw(frameHeaders, flagEndHeaders|flagPriority, 1, "\x00\x00\x00\x00") }, http2.ErrCodeFrameSize},
		"HEADERS within a head":           {func(c *client) { c.raw(frameHeaders, 0, 1, "\x82"); c.get(3, "/") }, http2.ErrCodeProtocol},
		"CONTINUATION of another":         {func(c *client) { c.raw(frameHeaders, 0, 1, "\x82"); c.raw(frameContinuation, 0, 3, "") }, http2.ErrCodeProtocol},
		"CONTINUATION alone":              {func(c *client) { c.raw(frameContinuation, flagEndHeaders, 1, "\x82") }, http2.ErrCodeProtocol},
		"bad HPACK":                       {func(c *client) { c.raw(frameHeaders, flagEndHeaders, 1, "\xff\xff\xff\xff\xff\xff") }, http2.ErrCodeCompression},
		"HPACK cut short":                 {func(c *client) { c.raw(frameHeaders, flagEndHeaders, 1, "\x40\x0a") }, http2.ErrCodeCompression},
		"PRIORITY on stream 0":            {func(c *client) { c.raw(framePriority, 0, 0, "\x00\x00\x00\x01\x00") }, http2.ErrCodeProtocol},
		"PRIORITY of itself, idle":        {func(c *client) { c.raw(framePriority, 0, 5, "\x00\x00\x00\x05\x00") }, http2.ErrCodeProtocol},
		"RST_STREAM on stream 0":          {func(c *client) { c.raw(frameReset, 0, 0, "\x00\x00\x00\x08") }, http2.ErrCodeProtocol},
		"RST_STREAM on an idle stream":    {func(c *client) { c.raw(frameReset, 0, 7, "\x00\x00\x00\x08") }, http2.ErrCodeProtocol},
		"RST_STREAM of a wrong length":    {func(c *client) { c.post(1, "/"); c.raw(frameReset, 0, 1, "\x00") }, http2.ErrCodeFrameSize},
		"SETTINGS on a stream":            {func(c *client) { c.raw(frameSettings, 0, 1, "") }, http2.ErrCodeProtocol},
		"SETTINGS of a wrong length":      {func(c *client) { c.raw(frameSettings, 0, 0, "abc") }, http2.ErrCodeFrameSize},
		"SETTINGS in an acknowledgement":  {func(c *client) { c.raw(frameSettings, flagAck, 0, "abcdef") }, http2.ErrCodeFrameSize},
		"SETTINGS_ENABLE_PUSH 2":          {func(c *client) { c.raw(frameSettings, 0, 0, "\x00\x02\x00\x00\x00\x02") }, http2.ErrCodeProtocol},
		"SETTINGS_INITIAL_WINDOW_SIZE":    {func(c *client) { c.raw(frameSettings, 0, 0, "\x00\x04\x80\x00\x00\x00") }, http2.ErrCodeFlowControl},
		"SETTINGS_MAX_FRAME_SIZE, small":  {func(c *client) { c.raw(frameSettings, 0, 0, "\x00\x05\x00\x00\x3f\xff") }, http2.ErrCodeProtocol},
		"SETTINGS_MAX_FRAME_SIZE, large":  {func(c *client) { c.raw(frameSettings, 0, 0, "\x00\x05\x01\x00\x00\x00") }, http2.ErrCodeProtocol},
		"PUSH_PROMISE":                    {func(c *client) { c.raw(framePushPromise, flagEndHeaders, 1, "\x00\x00\x00\x02\x82") }, http2.ErrCodeProtocol},
		"PING of a wrong length":          {func(c *client) { c.raw(framePing, 0, 0, "1234567") }, http2.ErrCodeFrameSize},
		"PING on a stream":                {func(c *client) { c.raw(framePing, 0, 1, "12345678") }, http2.ErrCodeProtocol},
		"GOAWAY on a stream":              {func(c *client) { c.raw(frameGoAway, 0, 1, "12345678") }, http2.ErrCodeProtocol},
		"GOAWAY of a wrong length":        {func(c *client) { c.raw(frameGoAway, 0, 0, "1234") }, http2.ErrCodeFrameSize},
		"WINDOW_UPDATE of a wrong length": {func(c *client) { c.raw(frameWindowUpdate, 0, 0, "12345") }, http2.ErrCodeFrameSize},
		"WINDOW_UPDATE of nothing":        {func(c *client) { c.raw(frameWindowUpdate, 0, 0, "\x00\x00\x00\x00") }, http2.ErrCodeProtocol},
		"WINDOW_UPDATE of too much":       {func(c *client) { c.raw(frameWindowUpdate, 0, 0, "\x7f\xff\xff\xff") }, http2.ErrCodeFlowControl},
		"WINDOW_UPDATE on an idle stream": {func(c *client) { c.raw(frameWindowUpdate, 0, 3, "\x00\x00\x00\x01") }, http2.ErrCodeProtocol},
		"a frame that is too large":       {func(c *client) { c.raw(0x77, 0, 0, strings.Repeat("x", maxFrame+1)) }, http2.ErrCodeFrameSize},
		"PRIORITY_UPDATE on a stream":     {func(c *client) { c.raw(framePriorityUpdate, 0, 1, "\x00\x00\x00\x01u=1") }, http2.ErrCodeProtocol},
		"PRIORITY_UPDATE too short":       {func(c *client) { c.raw(framePriorityUpdate, 0, 0, "\x00") }, http2.ErrCodeFrameSize},
		"PRIORITY_UPDATE of stream 0":     {func(c *client) { c.raw(framePriorityUpdate, 0, 0, "\x00\x00\x00\x00u=1") }, http2.ErrCodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, &stub{}, nil)
				tc.send(c)
				c.flush()
				if e := c.await(http2.FrameGoAway); e.code != tc.code {
					t.Errorf("GOAWAY says %v (%s), want %v", e.code, e.data, tc.code)
				}
				<-c.done
			})
		})
	}
}

func TestNoPreface(t *testing.T) {
	for name, text := range map[string]string{
		"HTTP/1.1":    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"no SETTINGS": preface + "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := dial(t, &stub{}, nil)
				go c.read()
				_, _ = io.WriteString(c.nc, text)
				if e := c.await(http2.FrameGoAway); e.code != http2.ErrCodeProtocol {
					t.Errorf("GOAWAY says %v", e.code)
				}
			})
		})
	}
}

// violation is what a client does, and what it gets for it.
type violation struct {
	send func(c *client)
	code http2.ErrCode
}

func streamErrors() map[string]violation {
	request := func(fields ...string) func(c *client) { return func(c *client) { c.headers(1, true, fields...) } }
	return map[string]violation{
		"upper case":             {request(target("GET", "/", "X-Up", "1")...), http2.ErrCodeProtocol},
		"a space in a name":      {request(target("GET", "/", "x y", "1")...), http2.ErrCodeProtocol},
		"a colon in a name":      {request(target("GET", "/", "x:y", "1")...), http2.ErrCodeProtocol},
		"an empty name":          {request(target("GET", "/", "", "1")...), http2.ErrCodeProtocol},
		"CRLF in a value":        {request(target("GET", "/", "x", "a\r\nb: c")...), http2.ErrCodeProtocol},
		"NUL in a value":         {request(target("GET", "/", "x", "a\x00b")...), http2.ErrCodeProtocol},
		"a space before a value": {request(target("GET", "/", "x", " a")...), http2.ErrCodeProtocol},
		"CRLF in a path":         {request(target("GET", "/\r\nx: y")...), http2.ErrCodeProtocol},
		"connection":             {request(target("GET", "/", "connection", "close")...), http2.ErrCodeProtocol},
		"transfer-encoding":      {request(target("POST", "/", "transfer-encoding", "chunked")...), http2.ErrCodeProtocol},
		"upgrade":                {request(target("GET", "/", "upgrade", "h2c")...), http2.ErrCodeProtocol},
		"te: gzip":               {request(target("GET", "/", "te", "gzip")...), http2.ErrCodeProtocol},
		"no method":              {request(":scheme", "https", ":authority", "a", ":path", "/"), http2.ErrCodeProtocol},
		"no authority":           {request(":method", "GET", ":scheme", "https", ":path", "/"), http2.ErrCodeProtocol},
		"two paths":              {request(target("GET", "/", ":path", "/2")...), http2.ErrCodeProtocol},
		"a late pseudo-header":   {request(append([]string{"x", "1"}, target("GET", "/")...)...), http2.ErrCodeProtocol},
		"a response's":           {request(target("GET", "/", ":status", "200")...), http2.ErrCodeProtocol},
		"two hosts":              {request(target("GET", "/", "host", "b.example")...), http2.ErrCodeProtocol},
		"two lengths":            {request(target("POST", "/", "content-length", "0", "content-length", "0")...), http2.ErrCodeProtocol},
		"a length and no DATA":   {request(target("POST", "/", "content-length", "5")...), http2.ErrCodeProtocol},
		"an empty protocol":      {request(target("CONNECT", "/", ":protocol", "")...), http2.ErrCodeProtocol},
		"less DATA than its length": {func(c *client) {
			c.post(1, "/", "content-length", "5")
			_ = c.framer.WriteData(1, true, []byte("1234"))
		}, http2.ErrCodeProtocol},
		"more DATA than its length": {func(c *client) {
			c.post(1, "/", "content-length", "5")
			_ = c.framer.WriteData(1, false, []byte("123456"))
		}, http2.ErrCodeProtocol},
		"DATA behind the end": {func(c *client) {
			c.get(1, "/wait")
			_ = c.framer.WriteData(1, true, []byte("1"))
		}, http2.ErrCodeStreamClosed},
		"a head behind the end": {func(c *client) {
			c.get(1, "/wait")
			c.headers(1, true, "x", "y")
		}, http2.ErrCodeStreamClosed},
		"a trailer that is not the end": {func(c *client) {
			c.post(1, "/")
			c.headers(1, false, "x", "y")
		}, http2.ErrCodeProtocol},
		"a pseudo-header in a trailer": {func(c *client) {
			c.post(1, "/")
			c.headers(1, true, ":path", "/")
		}, http2.ErrCodeProtocol},
		"a stream window too large": {func(c *client) {
			c.post(1, "/wait")
			_ = c.framer.WriteWindowUpdate(1, 1<<31-1)
		}, http2.ErrCodeFlowControl},
		"WINDOW_UPDATE of nothing": {func(c *client) {
			c.post(1, "/wait")
			c.raw(frameWindowUpdate, 0, 1, "\x00\x00\x00\x00")
		}, http2.ErrCodeProtocol},
		"HEADERS that depend on themselves": {func(c *client) {
			block := c.encode(target("GET", "/")...)
			c.raw(frameHeaders, flagEndHeaders|flagEndStream|flagPriority, 1, "\x00\x00\x00\x01\x00"+string(block))
		}, http2.ErrCodeProtocol},
		"PRIORITY that depends on itself": {func(c *client) {
			c.post(1, "/wait")
			c.raw(framePriority, 0, 1, "\x00\x00\x00\x01\x00")
		}, http2.ErrCodeProtocol},
		"PRIORITY of a wrong length": {func(c *client) {
			c.post(1, "/wait")
			c.raw(framePriority, 0, 1, "\x00\x00")
		}, http2.ErrCodeFrameSize},
	}
}

// A malformed request costs its stream only (RFC 9113, 8.1.1).
func TestStreamErrors(t *testing.T) {
	for name, tc := range streamErrors() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &stub{serve: func(ctx context.Context, w exchange.Writer, r *exchange.Request) {
					if r.Path == "/wait" {
						<-ctx.Done()
						return
					}
					if r.Body != nil {
						if _, err := io.ReadAll(r.Body); err != nil {
							w.Abort()
							return
						}
					}
					ok(w, "ok")
				}}
				c := open(t, h, nil)
				tc.send(c)
				c.flush()
				if got := c.collect(1)[1]; got.reset == nil || got.reset.code != tc.code || got.head.fields != nil {
					t.Errorf("got %+v, want a reset by %v", got, tc.code)
				}
				c.get(3, "/") // and what was on its way is dropped
				c.flush()
				if got := c.collect(3)[3]; string(got.body) != "ok" {
					t.Errorf("the next request got %+v", got)
				}
			})
		})
	}
}

// Requests over a limit are answered, by the exchange.
func TestRefused(t *testing.T) {
	many := target("GET", "/")
	for range 110 {
		many = append(many, "cookie", "a=1")
	}
	for name, tc := range map[string]struct {
		fields []string
		why    exchange.Refusal
	}{
		"fields":   {many, exchange.TooManyFields},
		"head":     {target("GET", "/", "x", strings.Repeat("~", 20<<10), "y", strings.Repeat("~", 20<<10), "z", strings.Repeat("~", 20<<10)), exchange.HeadTooLarge},
		"protocol": {target("CONNECT", "/", ":protocol", "connect-udp"), exchange.BadMethod},
		"host":     {[]string{":method", "GET", ":scheme", "https", ":authority", "u@a", ":path", "/"}, exchange.BadHost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, &stub{stored: map[string]*exchange.Stored{"/": object(1)}}, nil)
				block := c.encode(orderPseudo(tc.fields)...)
				_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:min(len(block), maxFrame)], EndStream: true, EndHeaders: len(block) <= maxFrame})
				for rest := block[min(len(block), maxFrame):]; len(rest) > 0; {
					n := min(len(rest), maxFrame)
					_ = c.framer.WriteContinuation(1, n == len(rest), rest[:n])
					rest = rest[n:]
				}
				c.flush()
				got := c.collect(1)[1]
				if want := tc.why.Status(); got.head.field(":status") != itoa(want) {
					t.Errorf("got %+v, want %d", got.head.fields, want)
				}
			})
		})
	}
}

func TestHeadOverTheWire(t *testing.T) {
	for name, payload := range map[string]string{"large": strings.Repeat("x", maxFrame), "empty": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, &stub{}, nil)
				c.raw(frameHeaders, 0, 1, "\x82")
				sent := 0
				for range 3000 {
					c.raw(frameContinuation, 0, 1, payload)
					if sent += len(payload); sent > 1<<20 {
						break
					}
				}
				c.flush()
				if e := c.await(http2.FrameGoAway); e.code != http2.ErrCodeEnhanceYourCalm {
					t.Errorf("GOAWAY says %v", e.code)
				}
				if c.counters.Hits(limits.RequestHead)+c.counters.Hits(limits.ControlFrames) != 1 {
					t.Error("the limit was not counted")
				}
			})
		})
	}
}
