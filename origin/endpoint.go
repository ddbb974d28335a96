package origin

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// endpoint is one address of an origin.
type endpoint struct {
	// Static after newEndpoint.
	conf   EndpointConfig
	tuning Tuning
	addr   string // host:port of URL
	dialer *dialer
	met    *endpointMetrics
	log    *zap.Logger

	pool     *http.Transport // requests; keeps connections
	switcher *http.Transport // upgrades: HTTP/1.1, and each on a connection of its own
	prober   *http.Transport // health checks, beside the limit on connections

	// Atomic.
	unhealthy atomic.Bool  // by active checks
	failures  atomic.Int32 // connections that failed in a row
	aside     atomic.Int64 // until when it is put aside, in Unix nanoseconds
}

func (o *Origin) newEndpoint(conf EndpointConfig, met *Metrics) *endpoint {
	e := &endpoint{
		conf:   conf,
		tuning: o.conf.Tuning,
		addr:   conf.URL.Host,
		met:    met.endpoint(o.conf.Site, conf.Name),
		log:    o.log.With(zap.String("site", o.conf.Site), zap.String("endpoint", conf.Name)),
	}
	if conf.URL.Port() == "" {
		port := map[string]string{"http": "80", "https": "443"}[conf.URL.Scheme]
		e.addr = net.JoinHostPort(conf.URL.Hostname(), port)
	}
	e.dialer = &dialer{
		allow:   o.conf.Allow,
		window:  o.conf.Tuning.ReceiveWindow,
		limit:   conf.Timeouts.Connect,
		maxHead: o.conf.Limits.ResponseHead,
		slots:   make(chan struct{}, o.conf.Limits.EndpointConns),
		tls:     tlsConfig(&conf),
		met:     e.met,
		outcome: e.dialled,
		spare:   func() { e.pool.CloseIdleConnections() },
	}
	e.dialer.net = o.dial
	if o.dial == nil {
		e.dialer.net = e.dialer.system(o.conf.Tuning.Resolver)
	}
	e.pool = e.newTransport(&o.conf, e.dialer.counted, true)
	e.switcher = e.newTransport(&o.conf, e.dialer.counted, false)
	e.switcher.DisableKeepAlives = true
	e.prober = e.newTransport(&o.conf, e.dialer.uncounted, true)
	e.prober.DisableKeepAlives = true
	e.met.healthy.Set(1)
	return e
}

func (e *endpoint) newTransport(conf *Config, plain dialFunc, http2 bool) *http.Transport {
	t := &http.Transport{
		DisableCompression:     true,
		DialContext:            e.dialer.http1(plain),
		DialTLSContext:         e.dialer.https(plain, http2),
		MaxResponseHeaderBytes: int64(conf.Limits.ResponseHead),
		MaxConnsPerHost:        conf.Limits.EndpointConns,
		MaxIdleConnsPerHost:    conf.Limits.EndpointConns,
		IdleConnTimeout:        conf.Tuning.KeepAlive,
		ExpectContinueTimeout:  conf.Tuning.ContinueWait,
		Protocols:              new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerStream: min(conf.Tuning.ReceiveWindow, 4<<20-1),
			// An idle connection whose peer is gone is noticed before a
			// request waits on it.
			SendPingTimeout: 15 * time.Second,
			PingTimeout:     5 * time.Second,
		},
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(http2 && e.conf.URL.Scheme == "https")
	return t
}

// tlsConfig verifies the endpoint by the name that the operator means.
func tlsConfig(conf *EndpointConfig) *tls.Config {
	name := conf.TLS.ServerName
	if name == "" {
		name = conf.URL.Hostname()
		if _, err := netip.ParseAddr(name); err == nil && conf.Host != "" {
			name = hostOnly(conf.Host)
		}
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         name,
		RootCAs:            conf.TLS.RootCAs,
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
}

func hostOnly(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return authority
}

func (e *endpoint) transport(upgrade bool) *http.Transport {
	if upgrade {
		return e.switcher
	}
	return e.pool
}

func (e *endpoint) closeIdle() {
	e.pool.CloseIdleConnections()
	e.switcher.CloseIdleConnections()
	e.prober.CloseIdleConnections()
}

// fault makes the error of a request to this endpoint.
func (e *endpoint) fault(cause exchange.Cause, err error) *exchange.Error {
	out := &exchange.Error{Cause: cause, Endpoint: e.addr, Err: err}
	var inner *exchange.Error
	if errors.As(err, &inner) {
		out.Err = inner.Err
		if inner.Endpoint != "" {
			out.Endpoint = inner.Endpoint
		}
	}
	return out
}
