package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// vitals are the outcomes of active checks so far. The zero value is a
// healthy endpoint: one that nobody has asked yet is believed.
type vitals struct {
	down bool
	run  int // checks in a row that speak against down
}

// after returns the vitals once another check has ended.
func (v vitals) after(good bool, rise, fall int) vitals {
	if good != v.down {
		return vitals{down: v.down}
	}
	v.run++
	if v.down && v.run >= rise || !v.down && v.run >= fall {
		return vitals{down: !v.down}
	}
	return v
}

// usable is whether requests should go to the endpoint.
func (e *endpoint) usable(now time.Time) bool {
	return !e.unhealthy.Load() && now.UnixNano() >= e.aside.Load()
}

// dialled takes note of a connection made or failed. Enough failures in a
// row put the endpoint aside, without waiting for a check.
func (e *endpoint) dialled(xe *exchange.Error) {
	if xe == nil {
		e.failures.Store(0)
		return
	}
	if xe.Cause == exchange.ConnectionLimitReached {
		return // it is busy, not broken
	}
	if e.failures.Add(1) < int32(e.tuning.DialFailures) {
		return
	}
	e.failures.Store(0)
	e.aside.Store(time.Now().Add(e.tuning.Aside).UnixNano())
	e.met.aside.Inc()
	e.log.Warn("endpoint put aside", zap.Duration("for", e.tuning.Aside), zap.Error(xe))
}

// watchHealth checks the endpoint until ctx is done. The first check comes
// after a random part of the interval, so that many sites loaded at once
// do not all ask at once.
func (e *endpoint) watchHealth(ctx context.Context) {
	h := e.conf.Health
	var v vitals
	timer := time.NewTimer(rand.N(h.Interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := e.check(ctx)
		if ctx.Err() != nil {
			return
		}
		next := v.after(err == nil, h.Rise, h.Fall)
		if next.down != v.down {
			e.turned(next.down, err)
		}
		v = next
		timer.Reset(h.Interval)
	}
}

func (e *endpoint) turned(down bool, err error) {
	e.unhealthy.Store(down)
	if down {
		e.met.healthy.Set(0)
		e.log.Warn("endpoint is unhealthy", zap.Error(err))
		return
	}
	e.met.healthy.Set(1)
	e.log.Info("endpoint is healthy again")
}

// check asks once.
func (e *endpoint) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.conf.Health.Timeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if c, ok := info.Conn.(*http1Conn); ok {
				c.begin(&reply{exact: true, sent: true})
			}
		},
	})
	u := &url.URL{Scheme: e.conf.URL.Scheme, Host: e.conf.URL.Host, Opaque: e.conf.Health.Path}
	hr := &http.Request{
		Method: http.MethodGet,
		URL:    u,
		Host:   e.conf.Host,
		Header: http.Header{"User-Agent": {pseudonym + "-health"}},
	}
	res, err := e.prober.RoundTrip(hr.WithContext(ctx))
	if err != nil {
		return err
	}
	// Some servers log a connection that ends in the middle of a response.
	_, err = io.CopyN(io.Discard, res.Body, healthBody)
	_ = res.Body.Close()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 399 {
		return fmt.Errorf("status %d, wanted 2xx or 3xx", res.StatusCode)
	}
	return nil
}

// healthBody is how much of a check's response is read, in bytes.
const healthBody = 64 << 10
