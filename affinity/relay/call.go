package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
)

const (
	// MaxPayload is the largest payload of a call, or answer to one, in bytes.
	MaxPayload = 256 << 10
	// maxCalls is how many calls of one connection are served at once.
	maxCalls = 16
	// maxName bounds a call's name.
	maxName = 128
)

// CallError is what a node answers to a call that failed there.
type CallError struct {
	Node affinity.NodeID
	Text string
}

// Error implements error.
func (e *CallError) Error() string { return nodeName(e.Node) + ": " + e.Text }

// Call has a node do what goes by name there, and returns its answer. payload
// is at most MaxPayload bytes, and not kept.
//
// It returns an *Unreached when nothing was done there, a *CallError when the
// node answered with an error, or an *exchange.Error, which may be ErrLost:
// then it is unknown what was done.
func (p *Peers) Call(ctx context.Context, to affinity.NodeID, name string, payload []byte) ([]byte, error) {
	answer, err := p.call(ctx, to, name, payload)
	p.met.called(err)
	return answer, err
}

func (p *Peers) call(ctx context.Context, to affinity.NodeID, name string, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload || len(name) > maxName {
		return nil, fmt.Errorf("calling %.*s: %d bytes of payload, at most %d", maxName, name, len(payload), MaxPayload)
	}
	c := p.client(to)
	if c == nil {
		return nil, &Unreached{to, NotConnected}
	}
	a := &asked{
		stream: stream{news: make(chan struct{}, 1), room: make(chan struct{}, 1)},
		kind:   frameCall,
	}
	if len(payload) > 0 {
		a.body = upload{src: bytes.NewReader(bytes.Clone(payload)), length: int64(len(payload))}
	}
	if err := c.begin(a, func(b []byte) []byte { return appendCall(b, name, len(payload)) }); err != nil {
		return nil, err
	}
	resp, err := a.wait(ctx, nil)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, MaxPayload+1))
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	if len(answer) > MaxPayload {
		return nil, &CallError{to, errPayload.Error()}
	}
	return answer, nil
}

// appendCall appends the payload of a CALL.
func appendCall(b []byte, name string, n int) []byte {
	return binary.AppendUvarint(appendText(b, name), uint64(n))
}

// parseCall reads the payload of a CALL. The name is a copy.
func parseCall(p []byte) (name string, n int, ok bool) {
	d := decoder{b: p}
	name, n = strings.Clone(d.text()), d.size()
	return name, n, d.done() && name != "" && len(name) <= maxName && n <= MaxPayload
}

var (
	errPayload = fmt.Errorf("the answer is larger than %d bytes", MaxPayload)
	errNoCall  = errors.New("it has no such call; is it of another version?")
)

// serveCall answers a call, start to end.
func (c *serverConn) serveCall(ctx context.Context, w *writer, x *served) {
	answer, err := c.callee(ctx, x)
	if err == nil && len(answer) > MaxPayload {
		err = errPayload
	}
	if err != nil {
		c.s.met.calls[callFailed].Inc()
		w.Fail(&exchange.Error{Cause: exchange.ProxyInternalError, Err: err})
		return
	}
	c.s.met.calls[callDone].Inc()
	if w.Head(200, nil, int64(len(answer))) == nil {
		_, _ = w.Write(answer) // an error shows when the call is concluded
	}
}

func (c *serverConn) callee(ctx context.Context, x *served) ([]byte, error) {
	fn := c.s.conf.Calls[x.call]
	if fn == nil {
		return nil, errNoCall
	}
	payload := make([]byte, x.request.Length)
	if len(payload) > 0 {
		if _, err := io.ReadFull(x.request.Body, payload); err != nil {
			return nil, err
		}
	}
	return fn(ctx, c.id, payload)
}
