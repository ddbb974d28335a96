package origin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Origin fetches for one site. It implements exchange.Filler.
type Origin struct {
	// Static after New.
	conf      Config
	via       string
	cdnLoop   string
	endpoints []*endpoint
	turns     *balance
	sessions  *rendezvous
	retries   *budget
	counters  *limits.Counters
	log       *zap.Logger
	dial      dialFunc // instead of the network, in tests

	// Atomic.
	retired atomic.Bool
}

var errPerConn = errors.New("the client's connection has too many requests at origins at once")

// New returns the origin of a site. It connects to nothing yet. The error
// names everything that is wrong with conf. counters may be nil.
func New(conf Config, counters *limits.Counters, met *Metrics) (*Origin, error) {
	return newOrigin(conf, counters, met, nil)
}

func newOrigin(conf Config, counters *limits.Counters, met *Metrics, dial dialFunc) (*Origin, error) {
	if err := conf.validate(); err != nil {
		return nil, fmt.Errorf("origins of site %q: %w", conf.Site, err)
	}
	conf.Tuning = conf.Tuning.withDefaults()
	if conf.Log == nil {
		conf.Log = zap.NewNop()
	}
	if met == nil {
		met = NewMetrics(nil)
	}
	o := &Origin{
		conf:     conf,
		counters: counters,
		log:      conf.Log,
		dial:     dial,
		retries: &budget{
			window:  conf.Tuning.RetryWindow,
			percent: conf.Tuning.RetryPercent,
			floor:   conf.Tuning.RetryFloor,
		},
	}
	o.via, o.cdnLoop = identify(conf.NodeID)
	weights := make([]int, len(conf.Endpoints))
	for i, ec := range conf.Endpoints {
		ec = ec.withDefaults()
		weights[i] = ec.Weight
		o.endpoints = append(o.endpoints, o.newEndpoint(ec, met))
	}
	o.turns, o.sessions = newBalance(weights), newRendezvous(conf.Endpoints, weights)
	return o, nil
}

// Run checks the endpoints' health until ctx is done, and then closes
// unused connections. Fill works before, while and after Run does: an
// Origin that was replaced ends the requests that it has, and closes
// each connection as it becomes free.
func (o *Origin) Run(ctx context.Context) error {
	var checks sync.WaitGroup
	for _, ep := range o.endpoints {
		if ep.conf.Health != nil {
			checks.Go(func() { ep.watchHealth(ctx) })
		}
	}
	<-ctx.Done()
	checks.Wait()
	o.retired.Store(true)
	o.closeIdle()
	return nil
}

// Fill fetches the response to r. The error is always an *exchange.Error.
// The response's body streams from the endpoint and is to be closed; when
// ctx ends, so do body and tunnel. r.Body may be read until then, though
// no new read begins once the body is closed or an error was returned.
//
// Response.Header holds end-to-end fields only, without Content-Length,
// which is Response.Length. For HEAD that is the length that GET would
// have. Response.Endpoint says which endpoint answered; r.Endpoint and
// r.Session say which is to be asked first. A 100 (Continue) of the endpoint is not passed to r.Interim: that
// r.Body is read says the same.
func (o *Origin) Fill(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	if err := check(r); err != nil {
		return nil, &exchange.Error{Cause: exchange.HTTPRequestError, Err: err}
	}
	if !r.Conn.AcquireOrigin(o.conf.Limits.OriginPerConn) {
		o.counters.Hit(limits.OriginPerConn)
		return nil, &exchange.Error{Cause: exchange.ConnectionLimitReached, Err: errPerConn}
	}
	res, xe := o.fetch(ctx, r)
	if xe != nil {
		r.Conn.ReleaseOrigin()
		return nil, xe
	}
	return res, nil
}

// fetch tries endpoints until one answers or there is a reason to stop.
func (o *Origin) fetch(ctx context.Context, r *exchange.Request) (*exchange.Response, *exchange.Error) {
	o.retries.request(time.Now())
	f := &fill{
		o:         o,
		r:         r,
		mayRepeat: idempotent(r.Method) && (r.Body == nil || r.Length == 0) && r.Upgrade == "",
	}
	var tried []int
	for {
		i := o.pick(r, tried, time.Now())
		a := f.attempt(ctx, o.endpoints[i])
		res, xe := a.run()
		if xe == nil {
			res.Endpoint = a.ep.conf.Name
			return res, nil
		}
		a.ep.met.count(xe.Cause)
		tried = append(tried, i)
		if len(tried) == len(o.endpoints) || !a.elsewhere(xe) {
			return nil, xe
		}
	}
}

// pick returns the endpoint to try next. When none that is left is fit, all
// of those are asked the same: a wrong verdict must not take a site down.
func (o *Origin) pick(r *exchange.Request, tried []int, now time.Time) int {
	if len(o.endpoints) == 1 {
		return 0
	}
	left := func(i int) bool { return !slices.Contains(tried, i) }
	if i := o.choose(r, func(i int) bool { return o.endpoints[i].usable(now) && left(i) }); i >= 0 {
		return i
	}
	return o.choose(r, left)
}

// choose returns the endpoint for a request among those that usable admits,
// -1 when it admits none: the one that the session is on, else the one
// that is the session's, else the one whose turn it is.
func (o *Origin) choose(r *exchange.Request, usable func(i int) bool) int {
	if r.Endpoint != "" {
		named := func(ep *endpoint) bool { return ep.conf.Name == r.Endpoint }
		if i := slices.IndexFunc(o.endpoints, named); i >= 0 && usable(i) {
			return i
		}
	}
	if r.Session != "" {
		return o.sessions.first(r.Session, usable)
	}
	return o.turns.next(usable)
}

func (o *Origin) closeIdle() {
	for _, ep := range o.endpoints {
		ep.closeIdle()
	}
}

// release ends what Fill counted.
func (f *fill) release() {
	f.r.Conn.ReleaseOrigin()
	if f.o.retired.Load() {
		f.o.closeIdle()
	}
}
