package http3

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// echo answers with what it read of the request.
func echo(_ context.Context, w exchange.Writer, r *exchange.Request) {
	if r.Refused != exchange.Admitted {
		_ = w.Head(r.Refused.Status(), nil, 0)
		return
	}
	n := int64(0)
	if r.Body != nil {
		var err error
		if n, err = io.Copy(io.Discard, r.Body); err != nil {
			w.Abort()
			return
		}
	}
	_ = w.Head(200, nil, n)
	_, _ = w.Write(make([]byte, n))
}

var settingsOK = append([]byte{streamControl}, frame(frameSettings, settingExtendedConnect, 1)...)

// TestUnidirectional: what a client may send on unidirectional streams,
// and how a connection ends when it sends something else.
func TestUnidirectional(t *testing.T) {
	for _, tc := range []struct {
		name  string
		sends [][]byte
		fin   bool // the last stream is closed
		want  code // 0: the connection lives
	}{
		{name: "settings", sends: [][]byte{settingsOK}},
		{name: "grease everywhere", sends: [][]byte{
			join(settingsOK, frame(0x21, 1, 2, 3), frame(0x1f*7+0x21)), {0x21, 1, 2}, {streamEncoder, 0x20}, {streamDecoder, 0x44},
		}},
		{name: "GOAWAY, MAX_PUSH_ID, priorities", sends: [][]byte{join(settingsOK, frame(frameGoAway, 4), frame(frameGoAway, 0),
			frame(frameMaxPushID, 1), frame(frameMaxPushID, 1), frame(framePriorityRequest, []byte("\x00u=1")...))}},
		{name: "no settings", sends: [][]byte{join([]byte{streamControl}, frame(frameGoAway, 0))}, want: codeMissingSettings},
		{name: "settings twice", sends: [][]byte{join(settingsOK, frame(frameSettings))}, want: codeFrameUnexpected},
		{name: "a setting twice", sends: [][]byte{append([]byte{streamControl}, frame(frameSettings, 6, 1, 6, 2)...)}, want: codeSettingsError},
		{name: "a setting of HTTP/2", sends: [][]byte{append([]byte{streamControl}, frame(frameSettings, 2, 0)...)}, want: codeSettingsError},
		{name: "connect protocol 2", sends: [][]byte{append([]byte{streamControl}, frame(frameSettings, 8, 2)...)}, want: codeSettingsError},
		{name: "half a setting", sends: [][]byte{append([]byte{streamControl}, frame(frameSettings, 6)...)}, want: codeFrameError},
		{name: "long settings", sends: [][]byte{append([]byte{streamControl}, frame(frameSettings, make([]byte, settingsSize+1)...)...)}, want: codeExcessiveLoad},
		{name: "two control streams", sends: [][]byte{settingsOK, settingsOK}, want: codeStreamCreationError},
		{name: "two encoder streams", sends: [][]byte{{streamEncoder}, {streamEncoder}}, want: codeStreamCreationError},
		{name: "two decoder streams", sends: [][]byte{{streamDecoder}, {streamDecoder}}, want: codeStreamCreationError},
		{name: "push stream", sends: [][]byte{{streamPush, 0}}, want: codeStreamCreationError},
		{name: "control stream closed", sends: [][]byte{settingsOK}, fin: true, want: codeClosedCriticalStream},
		{name: "encoder stream closed", sends: [][]byte{{streamEncoder}}, fin: true, want: codeClosedCriticalStream},
		{name: "decoder stream closed", sends: [][]byte{{streamDecoder, 0x44}}, fin: true, want: codeClosedCriticalStream},
		{name: "closed before its type", sends: [][]byte{{}}, fin: true},
		{name: "closed within a frame", sends: [][]byte{join(settingsOK, []byte{0x21, 9, 1})}, fin: true, want: codeFrameError},
		{name: "DATA on the control stream", sends: [][]byte{join(settingsOK, frame(frameData, 1))}, want: codeFrameUnexpected},
		{name: "HEADERS on the control stream", sends: [][]byte{join(settingsOK, frame(frameHeaders, 0, 0))}, want: codeFrameUnexpected},
		{name: "PUSH_PROMISE", sends: [][]byte{join(settingsOK, frame(framePushPromise, 0, 0, 0))}, want: codeFrameUnexpected},
		{name: "PING of HTTP/2", sends: [][]byte{join(settingsOK, frame(0x6, make([]byte, 8)...))}, want: codeFrameUnexpected},
		{name: "CANCEL_PUSH", sends: [][]byte{join(settingsOK, frame(frameCancelPush, 0))}, want: codeIDError},
		{name: "lower MAX_PUSH_ID", sends: [][]byte{join(settingsOK, frame(frameMaxPushID, 5), frame(frameMaxPushID, 4))}, want: codeIDError},
		{name: "long MAX_PUSH_ID", sends: [][]byte{join(settingsOK, frame(frameMaxPushID, 5, 5))}, want: codeFrameError},
		{name: "empty GOAWAY", sends: [][]byte{join(settingsOK, frame(frameGoAway))}, want: codeFrameError},
		{name: "rising GOAWAY", sends: [][]byte{join(settingsOK, frame(frameGoAway, 4), frame(frameGoAway, 8))}, want: codeIDError},
		{name: "priority of a push", sends: [][]byte{join(settingsOK, frame(framePriorityPush, 0))}, want: codeIDError},
		{name: "priority of no request", sends: [][]byte{join(settingsOK, frame(framePriorityRequest, 2))}, want: codeIDError},
		{name: "priority cut short", sends: [][]byte{join(settingsOK, frame(framePriorityRequest, 0x40))}, want: codeFrameError},
		{name: "dynamic table", sends: [][]byte{{streamEncoder, 0x21}}, want: codeEncoderStreamError},
		{name: "insertion", sends: [][]byte{{streamEncoder, 0xc0, 0}}, want: codeEncoderStreamError},
		{name: "endless capacity", sends: [][]byte{append([]byte{streamEncoder, 0x3f}, times(9, []byte{0x80})...)}, want: codeEncoderStreamError},
		{name: "section acknowledged", sends: [][]byte{{streamDecoder, 0x80}}, want: codeDecoderStreamError},
		{name: "insert count", sends: [][]byte{{streamDecoder, 0x01}}, want: codeDecoderStreamError},
		{name: "many control frames", sends: [][]byte{join(settingsOK, times(200, frame(0x21)))}, want: codeExcessiveLoad},
		{name: "one long frame", sends: [][]byte{join(settingsOK, frame(0x21, make([]byte, 200*contentUnit)...))}, want: codeExcessiveLoad},
		{name: "many instructions", sends: [][]byte{append([]byte{streamEncoder}, times(200, []byte{0x20})...)}, want: codeExcessiveLoad},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			lim := testLimits()
			lim.ControlFrames = 100
			lim.StreamWindow = 1 << 20
			e := serve(t, lim, &handler{serve: echo})
			qc := e.dial()
			for i, b := range tc.sends {
				s, err := qc.OpenUniStream()
				if err != nil {
					t.Fatal(err)
				}
				_, _ = s.Write(b) // the connection may be over already
				if tc.fin && i == len(tc.sends)-1 {
					_ = s.Close()
				}
			}
			if tc.want != 0 {
				if got := closedWith(t, e, qc); got != tc.want {
					t.Errorf("closed with %v, want %v", got, tc.want)
				}
				return
			}
			s := bidi(t, qc, head("GET"))
			_ = s.Close()
			if a := read(t, s); len(a.heads) != 1 || a.heads[0].Get(":status") != "200" {
				t.Errorf("answered %+v", a)
			}
		})
	}
}

// sending is a request stream, and what must become of it.
type sending struct {
	name   string
	sends  []byte
	open   bool   // the client does not close its side
	status string // of the answer; "": none
	length int    // of the answer
	reset  code
	closed code
}

// run sends tc to a server with tight limits.
func (tc sending) run(t *testing.T) {
	t.Parallel()
	lim := testLimits()
	lim.ControlFrames = 100
	lim.StreamWindow = 1 << 20
	e := serve(t, lim, &handler{serve: echo})
	qc := e.dial()
	s := bidi(t, qc, nil)
	_, _ = s.Write(tc.sends) // it may be over already
	if !tc.open {
		_ = s.Close()
	}
	switch {
	case tc.closed != 0:
		if got := closedWith(t, e, qc); got != tc.closed {
			t.Errorf("connection closed with %v, want %v", got, tc.closed)
		}
		return
	case tc.reset != 0:
		if got := resetWith(t, s); got != tc.reset {
			t.Errorf("stream reset with %v, want %v", got, tc.reset)
		}
	default:
		a := read(t, s)
		if len(a.heads) != 1 || a.heads[0].Get(":status") != tc.status || len(a.body) != tc.length {
			t.Errorf("answered %+v, want %s with %d bytes", a, tc.status, tc.length)
		}
	}
	bidiGET(t, qc) // one bad stream does not disturb the next
}

// TestRequestFrames: the order of frames on a request stream.
func TestRequestFrames(t *testing.T) {
	for _, tc := range []sending{
		{name: "GET", sends: head("GET"), status: "200"},
		{name: "POST", sends: join(head("POST"), frame(frameData, 1, 2), frame(frameData, 3)), status: "200", length: 3},
		{name: "POST with a length", sends: join(head("POST", field("content-length", "3")), frame(frameData, 1, 2, 3)), status: "200", length: 3},
		{name: "POST with length 0, open", sends: head("POST", field("content-length", "0")), open: true, status: "200"},
		{name: "GET with content", sends: join(head("GET"), frame(frameData, 1)), status: "200", length: 1},
		{name: "grease", sends: join(frame(0x21, 1), head("POST"), frame(0x21), frame(frameData, 1), frame(0x40, 1, 2), frame(frameHeaders, fields(field("etag", "x"))...), frame(0x21, 5)), status: "200", length: 1},
		{name: "trailers without content", sends: join(head("GET"), frame(frameHeaders, fields(field("etag", "x"))...)), status: "200"},
		{name: "empty DATA", sends: join(head("GET"), frame(frameData)), status: "200"},

		{name: "nothing", closed: 0, reset: codeRequestIncomplete},
		{name: "grease only", sends: frame(0x21, 1), reset: codeRequestIncomplete},
		{name: "half a head", sends: head("GET")[:20], closed: codeFrameError},
		{name: "half a frame header", sends: join(head("POST"), []byte{0, 0x40}), closed: codeFrameError},
		{name: "half a DATA frame", sends: join(head("POST"), []byte{0, 5, 1}), closed: codeFrameError},
		{name: "half a GET's DATA frame", sends: join(head("GET"), []byte{0, 5}), closed: codeFrameError},
		{name: "half an ignored frame", sends: join(head("POST"), []byte{0x21, 5, 1}), closed: codeFrameError},
		{name: "DATA first", sends: frame(frameData, 1), closed: codeFrameUnexpected},
		{name: "SETTINGS first", sends: frame(frameSettings), closed: codeFrameUnexpected},
		{name: "PUSH_PROMISE", sends: frame(framePushPromise, 0), closed: codeFrameUnexpected},
		{name: "GOAWAY after a head", sends: join(head("POST"), frame(frameGoAway, 0)), closed: codeFrameUnexpected},
		{name: "PRIORITY_UPDATE after a head", sends: join(head("POST"), frame(framePriorityRequest, 0)), closed: codeFrameUnexpected},
		{name: "HTTP/2 frame", sends: join(head("POST"), frame(0x8, 0, 0, 0, 1)), closed: codeFrameUnexpected},
		{name: "DATA after trailers", sends: join(head("POST"), frame(frameHeaders, fields()...), frame(frameData, 1)), closed: codeFrameUnexpected},
		{name: "trailers twice", sends: join(head("POST"), frame(frameHeaders, fields()...), frame(frameHeaders, fields()...)), closed: codeFrameUnexpected},
	} {
		t.Run(tc.name, tc.run)
	}
}

// TestRequestFields: malformed field sections and messages.
func TestRequestFields(t *testing.T) {
	for _, tc := range []sending{
		{name: "no section", sends: frame(frameHeaders), closed: codeDecompressionFailed},
		{name: "dynamic reference", sends: frame(frameHeaders, 0, 0, 0x80), closed: codeDecompressionFailed},
		{name: "insert count", sends: frame(frameHeaders, 1, 0, 0xd1), closed: codeDecompressionFailed},
		{name: "index past the table", sends: frame(frameHeaders, 0, 0, 0xff, 36), closed: codeDecompressionFailed},
		{name: "string past the section", sends: frame(frameHeaders, 0, 0, 0x51, 5, 'x'), closed: codeDecompressionFailed},
		{name: "dynamic reference in trailers", sends: join(head("POST"), frame(frameHeaders, 0, 0, 0x80)), closed: codeDecompressionFailed},

		{name: "no path", sends: frame(frameHeaders, fields(field(":method", "GET"), field(":scheme", "https"), field(":authority", "a.test"))...), reset: codeMessageError},
		{name: "method twice", sends: head("GET", field(":method", "GET")), reset: codeMessageError},
		{name: "upper case", sends: head("GET", field("X-A", "1")), reset: codeMessageError},
		{name: "connection field", sends: head("GET", field("connection", "close")), reset: codeMessageError},
		{name: "transfer-encoding", sends: head("POST", field("transfer-encoding", "chunked")), reset: codeMessageError},
		{name: "line break in a value", sends: head("GET", field("x-a", "1\r\nx: y")), reset: codeMessageError},
		{name: "two lengths", sends: head("POST", field("content-length", "1"), field("content-length", "1")), reset: codeMessageError},
		{name: "less than the length", sends: join(head("POST", field("content-length", "3")), frame(frameData, 1)), reset: codeMessageError},
		{name: "nothing of the length", sends: head("GET", field("content-length", "3")), reset: codeMessageError},
		{name: "more than the length", sends: join(head("POST", field("content-length", "1")), frame(frameData, 1, 2)), reset: codeMessageError},
		{name: "more than length 0", sends: join(head("GET", field("content-length", "0")), frame(frameData, 1)), reset: codeMessageError},
		{name: "pseudo-field in trailers", sends: join(head("POST"), frame(frameData, 1), frame(frameHeaders, fields(field(":path", "/"))...)), reset: codeMessageError},
	} {
		t.Run(tc.name, tc.run)
	}
}

// TestRequestLimits: heads, trailers and frames at their limits.
func TestRequestLimits(t *testing.T) {
	long := func(n int) exchange.Field { return field("x-long", strings.Repeat("a", n)) }
	many := make([]exchange.Field, 102)
	for i := range many {
		many[i] = field("x-a", "")
	}
	indexed := append(fields(field(":method", "GET"), field(":scheme", "https"), field(":path", "/"), field(":authority", "a.test")), times(3000, []byte{0xc0 | 31})...)
	for _, tc := range []sending{
		{name: "long field", sends: head("GET", long(30<<10)), status: "200"},
		{name: "head over the limit", sends: head("GET", long(60<<10)), status: "431"},
		{name: "head far over the limit", sends: head("GET", long(200<<10)), status: "431"},
		{name: "fields over the limit", sends: head("GET", many...), status: "431"},
		{name: "section bomb", sends: frame(frameHeaders, indexed...), status: "431"},
		{name: "long trailers", sends: join(head("POST"), frame(frameData, 1), frame(frameHeaders, fields(long(9<<10))...)), reset: codeExcessiveLoad},
		{name: "very long trailers", sends: join(head("POST"), frame(frameData, 1), frame(frameHeaders, fields(long(20<<10))...)), reset: codeExcessiveLoad},
		{name: "empty frames", sends: join(head("POST"), times(200, frame(frameData))), closed: codeExcessiveLoad},
		{name: "long ignored frame", sends: join(head("POST"), frame(0x21, make([]byte, 200*contentUnit)...)), closed: codeExcessiveLoad},
	} {
		t.Run(tc.name, tc.run)
	}
}

// TestResets: a client that resets its streams, or has us reset them, is
// sent away.
func TestResets(t *testing.T) {
	for _, tc := range []struct {
		name string
		good int
		bad  []byte
		over bool
	}{
		{name: "malformed", bad: head("GET", field("X-A", "1")), over: true},
		{name: "malformed, among good ones", good: 15, bad: head("GET", field("X-A", "1"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lim := testLimits()
			lim.StreamResets = 10
			e := serve(t, lim, &handler{serve: echo})
			qc := e.dial()
			for range tc.good {
				s := bidi(t, qc, head("GET"))
				_ = s.Close()
				read(t, s)
			}
			for range 11 {
				s := bidi(t, qc, tc.bad)
				_ = s.Close()
				_, _ = io.ReadAll(s) // reset
			}
			if tc.over {
				if got := closedWith(t, e, qc); got != codeExcessiveLoad || e.counters.Hits(limits.StreamResets) != 1 {
					t.Errorf("closed with %v, %d hits", got, e.counters.Hits(limits.StreamResets))
				}
				return
			}
			s := bidi(t, qc, head("GET"))
			_ = s.Close()
			read(t, s)
		})
	}
}

// TestTypelessStreams: unidirectional streams that end before their type
// are paid for.
func TestTypelessStreams(t *testing.T) {
	lim := testLimits()
	lim.ControlFrames = 3
	c, session, counters := fakeConn(lim, &handler{})
	for range lim.ControlFrames {
		c.follow(newFake(nil, true))
	}
	if got := session.closed(); got != 0 {
		t.Fatalf("closed with %v within the limit", got)
	}
	c.follow(newFake(nil, true))
	if got, n := session.closed(), counters.Hits(limits.ControlFrames); got != codeExcessiveLoad || n != 1 {
		t.Errorf("closed with %v, counted %d times", got, n)
	}
}
