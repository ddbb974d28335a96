package relay

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// stage is how far a request has come.
type stage uint8

const (
	sent stage = iota
	accepted
	answered
	closed
)

// asked is a request at the end that asks.
type asked struct {
	stream

	// Static after begin.
	kind   kind // HEAD or CALL
	flags  flags
	safe   bool // may be begun without GO
	tunnel bool // may be answered by a tunnel
	body   upload
	sent   time.Time
	due    time.Time // when it is passed by

	// Guarded by link.mu.
	stage    stage
	err      error // why there is no answer
	interims []interim
	count    int // of interims
	answer   answer
	whole    int64       // content that was announced, -1 when it is not known
	got      int64       // content that came
	stop     func() bool // ends the watch over the context

	// What the caller gets.
	response exchange.Response
}

// ask is Ask, from the choice of the connection to the answer.
func (p *Peers) ask(ctx context.Context, to affinity.NodeID, r *exchange.Request) (*exchange.Response, error) {
	c := p.client(to)
	if c == nil {
		return nil, &Unreached{to, NotConnected}
	}
	a := &asked{
		stream: stream{news: make(chan struct{}, 1)},
		kind:   frameHead, flags: flagsOf(r), safe: safe(r.Method), tunnel: r.Upgrade != "",
	}
	if r.Body != nil {
		a.body = upload{src: r.Body, length: r.Length, trailer: r.Trailer}
	}
	if r.Body != nil || a.tunnel {
		a.room = make(chan struct{}, 1)
	}
	if err := c.begin(a, func(b []byte) []byte { return appendRequest(b, a.flags, r) }); err != nil {
		return nil, err
	}
	return a.wait(ctx, r.Interim)
}

// wait waits for the answer, and passes interim ones on.
func (a *asked) wait(ctx context.Context, pass func(int, exchange.Header)) (*exchange.Response, error) {
	for {
		select {
		case <-a.news:
		case <-ctx.Done():
			a.giveUp(ctx)
		}
		a.l.mu.Lock()
		interims, stage, err := a.interims, a.stage, a.err
		a.interims = nil
		done := stage >= answered && err == nil
		if done {
			a.hand(ctx)
		}
		a.l.mu.Unlock()
		if err != nil {
			return nil, err
		}
		for _, i := range interims {
			pass(i.status, i.header)
		}
		if done {
			return &a.response, nil
		}
	}
}

// giveUp ends the exchange because its context is done.
func (a *asked) giveUp(ctx context.Context) {
	cause := exchange.ClientAborted
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		cause = exchange.HTTPResponseTimeout
	}
	a.abandon(&exchange.Error{Cause: cause, Err: context.Cause(ctx)})
}

// abandon cancels the exchange at the other end.
func (a *asked) abandon(why error) {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	a.cancel(why)
}

// cancel is abandon, under link.mu.
func (a *asked) cancel(why error) {
	if a.open {
		a.l.append(frameCancel, a.id)
		a.l.wake()
		a.over(why)
	}
}

// over ends the stream: well, or for a reason.
func (a *asked) over(why error) {
	if a.stage < answered {
		a.err = why
	}
	a.stage = closed
	if a.stop != nil {
		a.stop()
	}
	a.l.leave(&a.stream, why)
	a.l.side.(*client).rest()
}

// pending reports whether nobody knows whether the request has arrived.
func (a *asked) pending() bool { return a.stage == sent }

// hand makes the response ready for the caller.
func (a *asked) hand(ctx context.Context) {
	ans, r := &a.answer, &a.response
	*r = exchange.Response{Status: ans.status, Header: ans.header, Length: ans.length, Body: noContent{}}
	if ans.marks.has(hasCopy) {
		r.Copy = &ans.copied
	}
	if a.open && ctx.Done() != nil {
		a.stop = context.AfterFunc(ctx, func() { a.giveUp(ctx) })
	}
	switch {
	case ans.marks.has(isTunnel):
		r.Tunnel, r.Body = &tunnel{&a.stream, a.hangUp}, noContent{}
	case a.open || a.in.len() > 0 || a.gone != nil:
		r.Body = (*content)(a)
	}
	if a.open || a.trailer != nil {
		r.Trailer = (*content)(a).fields
	}
}

// frame takes a frame in. Under link.mu.
func (a *asked) frame(k kind, p []byte) error {
	switch k {
	case frameAccept:
		if a.pending() {
			a.accept()
		}
	case frameInterim:
		return a.onInterim(p)
	case frameResponse:
		return a.onResponse(append([]byte(nil), p...))
	case frameFail:
		return a.onFail(append([]byte(nil), p...))
	case frameDecline, frameRefused:
		return a.onRefusal(k, p)
	case frameData, frameLast:
		return a.onContent(k, p)
	case frameEnd:
		if err := a.onEnd(p); err != nil {
			return err
		}
		a.onWhole()
	case frameCancel:
		a.over(&exchange.Error{Cause: exchange.HTTPResponseIncomplete, Err: errCutShort})
	case frameWindow:
		if err := a.onWindow(p); err != nil {
			return err
		}
		a.upload()
	default:
		return malformed("%s out of place", k)
	}
	return nil
}

// errCutShort says that the node which was asked could not go on.
var errCutShort = errors.New("the node that was asked has cut its answer short")

// accept notes that the request has arrived. What is not safe begins only now:
// whoever was passed by is told CANCEL instead.
func (a *asked) accept() {
	a.stage = accepted
	if !a.safe {
		a.l.append(frameGo, a.id)
		a.l.owes = true
	}
}

// unanswered reports whether an answer may still come.
func (a *asked) unanswered() bool { return a.stage < answered }

func (a *asked) onInterim(p []byte) error {
	i := interim{}
	switch {
	case !a.unanswered() || !a.flags.has(wantsInterim):
		return malformed("INTERIM that nobody waits for")
	case !i.parse(append([]byte(nil), p...)):
		return malformed("INTERIM cannot be read")
	}
	if a.pending() {
		a.accept()
	}
	if a.count++; a.count > a.l.limits.ResponseInterim {
		a.l.counters.Hit(limits.ResponseInterim)
		a.cancel(&exchange.Error{Cause: exchange.HTTPProtocolError, Err: errInterims})
		return nil
	}
	a.interims = append(a.interims, i)
	a.l.tell(&a.stream)
	return nil
}

var errInterims = errors.New("more interim responses than limits.response_interim")

// onResponse takes the final head in. p is its own.
func (a *asked) onResponse(p []byte) error {
	switch {
	case !a.unanswered():
		return malformed("RESPONSE out of place")
	case !a.answer.parse(p):
		return malformed("RESPONSE cannot be read")
	case a.answer.marks.has(isTunnel) && !a.tunnel:
		return malformed("RESPONSE is a tunnel that nobody asked for")
	}
	a.stage, a.takes = answered, true
	a.whole = a.answer.length
	a.l.tell(&a.stream)
	switch {
	case a.answer.marks.has(isWhole):
		a.received = true
		a.over(nil)
	case a.answer.marks.has(isTunnel):
		a.whole = -1
	}
	return nil
}

// onFail takes in why there is no response. p is its own.
func (a *asked) onFail(p []byte) error {
	f := failure{}
	if !a.unanswered() || !f.parse(p) {
		return malformed("FAIL out of place")
	}
	if a.kind == frameCall {
		a.over(&CallError{a.l.id, f.text})
		return nil
	}
	a.over(f.err(a.l.id))
	return nil
}

// onRefusal takes in that nothing was done.
func (a *asked) onRefusal(k kind, p []byte) error {
	if !a.unanswered() || len(p) != 1 || a.body.begun || k == frameRefused && p[0] >= byte(endRefusals) {
		return malformed("%s out of place", k)
	}
	if k == frameDecline {
		a.over(&Declined{affinity.NodeID(p[0])})
		return nil
	}
	a.over(&Unreached{a.l.id, refusal(p[0]).why()})
	return nil
}

// onContent takes content of the response in.
func (a *asked) onContent(k kind, p []byte) error {
	if err := a.onData(k, p); err != nil {
		return err
	}
	a.l.tell(&a.stream)
	if a.got += int64(len(p)); a.whole >= 0 && a.got > a.whole {
		return malformed("more content than its length promised")
	}
	if a.received {
		a.onWhole()
	}
	return nil
}

// onWhole ends what the other end has said all of. A tunnel ends when both
// ends have.
func (a *asked) onWhole() {
	a.l.tell(&a.stream)
	switch {
	case a.answer.marks.has(isTunnel) && !a.ended:
	case a.whole >= 0 && a.got < a.whole:
		a.over(&exchange.Error{Cause: exchange.HTTPResponseIncomplete, Err: io.ErrUnexpectedEOF})
	default:
		a.over(nil)
	}
}

// hangUp ends a tunnel.
func (a *asked) hangUp() {
	a.cancel(errClosed)
	a.unwant()
}

// content is the response's content, as its reader sees it.
type content asked

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) { return c.stream.read(p) }

// Close implements io.Closer. If content is still to come, the other end is
// told that nobody wants it.
func (c *content) Close() error {
	a := (*asked)(c)
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	a.cancel(errClosed)
	a.unwant()
	return nil
}

// fields returns the trailer fields.
func (c *content) fields() exchange.Header {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.trailer
}

// noContent is a body without content.
type noContent struct{}

// Read implements io.Reader.
func (noContent) Read([]byte) (int, error) { return 0, io.EOF }

// Close implements io.Closer.
func (noContent) Close() error { return nil }
