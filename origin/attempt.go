package origin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// fill is what the tries of one Fill share.
type fill struct {
	o *Origin
	r *exchange.Request
	// mayRepeat is whether the request may reach endpoints twice: it is
	// idempotent and has no body.
	mayRepeat bool
	// reached is whether a byte of the request may have reached an
	// endpoint; repeated, whether that was allowed to happen once more.
	reached, repeated bool
}

// attempt is one try of a request at one endpoint.
type attempt struct {
	*fill
	// Static.
	ep     *endpoint
	parent context.Context // of Fill
	ctx    context.Context // of this try
	cancel context.CancelCauseFunc
	watch  watch

	// Owned by the goroutine that calls RoundTrip, within which net/http
	// calls getConn, gotConn and GetBody.
	hr      *http.Request
	body    *upload // nil when the request has none
	dead    bool    // the connection that took the request was a kept one and died without an answer
	verdict error   // why its answer was refused, if it was

	// What the current connection knows; hooks of net/http's other
	// goroutines read it.
	reply atomic.Pointer[reply]
	sent  atomic.Int64 // when the request was sent, in Unix nanoseconds

	mu sync.Mutex
	// Guarded by mu.
	interims int
	over     bool // Fill is about to return: Interim must not be called
}

var errNotRepeated = errors.New("endpoint ended a kept connection without a response, and the request must not be sent again")

func (f *fill) attempt(ctx context.Context, ep *endpoint) *attempt {
	a := &attempt{fill: f, ep: ep, parent: ctx}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.watch.cancel = a.cancel
	if f.r.Body != nil && f.r.Length != 0 {
		a.body = a.newBody()
	}
	trace := &httptrace.ClientTrace{
		GetConn:              func(string) { a.watch.begin(forConn, ep.conf.Timeouts.Connect) },
		DNSStart:             func(httptrace.DNSStartInfo) { a.watch.end(forConn) },
		ConnectStart:         func(string, string) { a.watch.end(forConn) },
		GotConn:              a.gotConn,
		WroteHeaders:         a.wroteHeaders,
		WroteRequest:         a.wroteRequest,
		Got1xxResponse:       a.interim,
		GotFirstResponseByte: a.firstByte,
	}
	a.hr = f.o.outgoing(httptrace.WithClientTrace(a.ctx, trace), ep, f.r, a.body)
	if a.body != nil {
		a.hr.GetBody = a.rewind
	}
	return a
}

func (a *attempt) newBody() *upload {
	u := newUpload(a.r.Body, a.r.Length, &a.watch)
	u.limit = a.ep.conf.Timeouts.Idle
	u.ended = a.bodyEnded
	if requestTrailers(a.r) != nil {
		u.length = -1 // only the true end brings the trailers
	}
	return u
}

// bodyEnded is called when all of the body is in net/http's hands.
func (a *attempt) bodyEnded() {
	fillTrailers(a.hr.Trailer, a.r)
	if x := a.reply.Load(); x != nil {
		x.set(func() { x.sent = true })
	}
}

// rewind is asked by net/http when it wants to send the request on
// another connection.
func (a *attempt) rewind() (io.ReadCloser, error) {
	if !a.body.untouched() {
		return nil, errPartRead
	}
	a.body = a.newBody()
	return a.body, nil
}

// run sends the request and returns the response, its body still to be
// read.
func (a *attempt) run() (*exchange.Response, *exchange.Error) {
	hres, err := a.ep.transport(a.r.Upgrade != "").RoundTrip(a.hr)
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
	a.watch.pass(forBody)
	if err == nil {
		return a.response(hres)
	}
	a.note()
	xe := a.failure(asking, err)
	a.abandon(xe)
	return nil, xe
}

// abandon ends everything that the attempt started.
func (a *attempt) abandon(why error) {
	if a.body != nil {
		a.body.detach()
	}
	a.watch.pass(forBody)
	a.cancel(why)
}

// gotConn is called with each connection that the request is about to be
// sent on. After the first it means that net/http wants to repeat the
// request, because the connection before it died.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.watch.end(forConn)
	before := a.reply.Load()
	again := before != nil
	if again {
		a.note()
		// With HTTP/2, net/http asks only when the endpoint has said that
		// it did nothing with the request (RFC 9113, 8.7).
		a.dead = a.dead || !before.exact
	}
	conn, isHTTP1 := info.Conn.(*http1Conn)
	x := &reply{toHEAD: a.r.Method == http.MethodHead, reused: info.Reused, exact: isHTTP1}
	if a.body != nil {
		x.lost = a.body.detach
	}
	a.reply.Store(x)
	if isHTTP1 {
		conn.begin(x)
		if a.hr.Header["Te"] != nil && a.r.Upgrade == "" {
			// HTTP/1.1 wants TE named (RFC 9110, 10.1.4), HTTP/2 forbids it.
			a.hr.Header["Connection"] = []string{"TE"}
		}
	} else if a.hr.Header["Connection"] != nil {
		delete(a.hr.Header, "Connection")
	}
	switch {
	case again && a.reached && !a.repeat():
		a.cancel(&exchange.Error{Cause: exchange.ConnectionTerminated, Err: errNotRepeated})
		if isHTTP1 {
			conn.refuse(errDiscarded)
		}
		return
	case again && a.reached && info.Reused && isHTTP1:
		// The one repetition is not to be wasted on a connection that may
		// be as dead as the one before. net/http goes on to the next, and
		// in the end to a new one.
		conn.refuse(errDiscarded)
		return
	}
	a.watch.begin(forWriter, a.ep.conf.Timeouts.Idle)
}

// note takes over what the last connection learnt.
func (a *attempt) note() {
	x := a.reply.Load()
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.wrote || x.noted {
		return
	}
	x.noted = true
	a.dead = x.reused && !x.got
	a.verdict = x.err
	a.reached = true
	if a.repeated {
		a.mayRepeat = false
	}
}

// repeat asks whether a request that may have reached an endpoint may be
// sent once more.
func (a *attempt) repeat() bool {
	if a.repeated {
		return a.mayRepeat
	}
	if !a.mayRepeat || !a.dead || !a.o.retries.take(time.Now()) {
		return false
	}
	a.repeated = true
	a.ep.met.retries.Inc()
	return true
}

// elsewhere asks, after a failure, whether another endpoint may be tried.
func (a *attempt) elsewhere(xe *exchange.Error) bool {
	switch xe.Cause {
	case exchange.ClientAborted, exchange.HTTPRequestError:
		return false
	default:
	}
	switch {
	case a.parent.Err() != nil, !a.body.untouched():
		return false
	case a.reached:
		return a.repeat()
	case !a.o.retries.take(time.Now()):
		return false
	}
	a.ep.met.retries.Inc()
	return true
}

// failure turns an error of net/http into ours. What we know ourselves
// comes first: net/http reports the torn connection that followed.
func (a *attempt) failure(s stage, err error) *exchange.Error {
	switch {
	case context.Cause(a.parent) != nil:
		err = abort(context.Cause(a.parent))
	case a.body.failure() != nil:
		err = a.body.failure()
	case a.verdict != nil:
		err = a.verdict
	case context.Cause(a.ctx) != nil:
		err = context.Cause(a.ctx)
	case strings.HasPrefix(err.Error(), "net/http: invalid "):
		// net/http will not send such a request.
		err = &exchange.Error{Cause: exchange.HTTPRequestError, Err: err}
	}
	xe := a.ep.fault(classify(s, err), err)
	switch xe.Cause {
	case exchange.ConnectionLimitReached:
		a.o.counters.Hit(limits.EndpointConns)
	case exchange.HTTPResponseHeadSize:
		a.o.counters.Hit(limits.ResponseHead)
	default:
	}
	return xe
}

// abort says why the caller's context ended: its own word, or that nobody
// waits any more.
func abort(cause error) error {
	switch {
	case errors.As(cause, new(*exchange.Error)):
		return cause
	case errors.Is(cause, context.DeadlineExceeded):
		return &exchange.Error{Cause: exchange.HTTPResponseTimeout, Err: cause}
	}
	return &exchange.Error{Cause: exchange.ClientAborted, Err: cause}
}

func (a *attempt) wroteHeaders() {
	// For HTTP/2; an http1Conn knows better what was sent.
	x := a.reply.Load()
	if x != nil && !x.exact {
		x.set(func() { x.wrote = true })
	}
}

func (a *attempt) wroteRequest(info httptrace.WroteRequestInfo) {
	x := a.reply.Load()
	if info.Err != nil || x == nil {
		return
	}
	x.set(func() { x.sent = true })
	a.sent.Store(time.Now().UnixNano())
	a.watch.end(forWriter)
	a.watch.begin(forHead, a.ep.conf.Timeouts.FirstByte)
}

func (a *attempt) firstByte() {
	if x := a.reply.Load(); x != nil {
		x.set(func() { x.got = true })
	}
}

// interim passes a 1xx response on. 100 only answers Expect, and the
// reading of the request's body that follows it tells the client
// (RFC 9110, 10.1.1).
func (a *attempt) interim(status int, h textproto.MIMEHeader) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.interims++; a.interims > a.o.conf.Limits.ResponseInterim {
		a.o.counters.Hit(limits.ResponseInterim)
		return &exchange.Error{Cause: exchange.HTTPProtocolError, Err: errInterims}
	}
	if a.over || a.r.Interim == nil || status == http.StatusContinue || status == http.StatusSwitchingProtocols {
		return nil
	}
	a.r.Interim(status, a.received(http.Header(h)).EndToEnd())
	return nil
}

// received returns the fields of the head that net/http has just read:
// those that the connection kept, or net/http's own with HTTP/2.
func (a *attempt) received(h http.Header) exchange.Header {
	if x := a.reply.Load(); x != nil && x.head != nil {
		return x.head.fields
	}
	return fromHTTP(h)
}
