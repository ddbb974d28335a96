package origin

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/landfall-cdn/landfall/internal/limits"
	"github.com/landfall-cdn/landfall/internal/netguard"
)

// Config describes the origins of one site.
type Config struct {
	// Site names the site in logs and metrics.
	Site string
	// Endpoints are the addresses that serve the site; at least one.
	Endpoints []EndpointConfig
	// Allow lists ranges that may be dialled although they are private.
	Allow []netip.Prefix
	// NodeID says in Via and CDN-Loop which node this is: a token, or "".
	NodeID string
	// Limits bounds heads, interim responses and connections.
	Limits limits.Limits
	// Forwarded adds the Forwarded field (RFC 7239) beside X-Forwarded-*.
	// Without it a client's Forwarded is dropped.
	Forwarded bool
	// Tuning is the fine print; its zero value means the defaults.
	Tuning Tuning
	// Log receives changes of health. Nil logs nothing.
	Log *zap.Logger
}

// EndpointConfig describes one endpoint.
type EndpointConfig struct {
	// Name is unique among the endpoints of a site.
	Name string
	// URL is scheme (http or https), host and optional port; it has no path.
	URL *url.URL
	// Host is sent as Host instead of the request's authority; "" keeps it.
	Host string
	// Weight is the endpoint's share of the requests; 0 means 1.
	Weight   int
	Timeouts Timeouts
	TLS      TLS
	// Health makes the endpoint be asked regularly; nil trusts it.
	Health *HealthConfig
}

// Timeouts bound the waiting for an endpoint.
type Timeouts struct {
	// Connect bounds a name's resolution, the connection and the TLS
	// handshake together, and the wait for a free connection when all are
	// in use; 0 means 5 s.
	Connect time.Duration
	// FirstByte bounds the wait for the head of the final response once
	// the request was sent; 0 means 60 s.
	FirstByte time.Duration
	// Idle bounds the wait for the next bytes of a response's body, and
	// for the endpoint to take the next bytes of a request's body; 0 means
	// 60 s.
	Idle time.Duration
}

// TLS says how an https endpoint proves who it is.
type TLS struct {
	// RootCAs are the authorities trusted for the endpoint; nil means the
	// system's.
	RootCAs *x509.CertPool
	// ServerName is the name sent as SNI and looked for in the certificate.
	// "" means the host of URL; or, when that is an address, Host.
	ServerName string
}

// HealthConfig describes active checks: a GET that is to answer 2xx or
// 3xx.
type HealthConfig struct {
	// Path is the request target, such as "/healthz".
	Path string
	// Interval is the time between two checks; 0 means 5 s.
	Interval time.Duration
	// Timeout bounds one check; 0 means 2 s.
	Timeout time.Duration
	// Rise is how many good checks in a row make an endpoint healthy; 0
	// means 2. Fall is how many bad ones make it unhealthy; 0 means 3.
	Rise, Fall int
}

// Tuning names the bounds that seldom need another value. A zero field
// means its default.
type Tuning struct {
	// DialFailures is how many connections to an endpoint must fail in a
	// row for it to be put aside; 0 means 3.
	DialFailures int
	// Aside is for how long; 0 means 5 s.
	Aside time.Duration
	// RetryWindow is the time over which retries are weighed against
	// requests; 0 means 10 s.
	RetryWindow time.Duration
	// RetryPercent is how many retries 100 requests of the window allow; 0
	// means 20.
	RetryPercent int
	// RetryFloor is how many retries a window allows in any case; 0 means
	// 10.
	RetryFloor int
	// ContinueWait is how long a request's body waits for the endpoint to
	// answer Expect: 100-continue (RFC 9110, 10.1.1); 0 means 1 s.
	ContinueWait time.Duration
	// KeepAlive is how long an unused connection is kept; 0 means 60 s.
	KeepAlive time.Duration
	// ReceiveWindow bounds what one connection, and one HTTP/2 stream, may
	// hold in memory when its reader is slow, in bytes; 0 means 1 MiB. The
	// system may lower it (Linux: to net.core.rmem_max).
	ReceiveWindow int
	// Resolver resolves the endpoints' names; nil means the system's.
	Resolver *net.Resolver
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (t Tuning) withDefaults() Tuning {
	orDefault(&t.DialFailures, 3)
	orDefault(&t.Aside, 5*time.Second)
	orDefault(&t.RetryWindow, 10*time.Second)
	orDefault(&t.RetryPercent, 20)
	orDefault(&t.RetryFloor, 10)
	orDefault(&t.ContinueWait, time.Second)
	orDefault(&t.KeepAlive, time.Minute)
	orDefault(&t.ReceiveWindow, 1<<20)
	orDefault(&t.Resolver, net.DefaultResolver)
	return t
}

func (e EndpointConfig) withDefaults() EndpointConfig {
	orDefault(&e.Weight, 1)
	orDefault(&e.Timeouts.Connect, 5*time.Second)
	orDefault(&e.Timeouts.FirstByte, time.Minute)
	orDefault(&e.Timeouts.Idle, time.Minute)
	if e.Health != nil {
		h := *e.Health
		orDefault(&h.Interval, 5*time.Second)
		orDefault(&h.Timeout, 2*time.Second)
		orDefault(&h.Rise, 2)
		orDefault(&h.Fall, 3)
		e.Health = &h
	}
	return e
}

// validate returns everything that is wrong with c.
func (c *Config) validate() error {
	var errs []error
	if len(c.Endpoints) == 0 {
		errs = append(errs, errors.New("no endpoint: name at least one"))
	}
	if c.NodeID != "" && !httpguts.ValidHeaderFieldName(c.NodeID) {
		errs = append(errs, fmt.Errorf("node id %q: use letters, digits and hyphens only, it stands in Via", c.NodeID))
	}
	if c.Limits.ResponseHead <= 0 || c.Limits.EndpointConns <= 0 {
		errs = append(errs, errors.New("limits are not set: start from limits.Default"))
	}
	errs = append(errs, c.Tuning.validate())
	seen := make(map[string]bool, len(c.Endpoints))
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		if seen[e.Name] {
			errs = append(errs, fmt.Errorf("endpoint %q: the name is taken by another endpoint", e.Name))
		}
		seen[e.Name] = true
		if err := e.validate(c.Allow); err != nil {
			errs = append(errs, fmt.Errorf("endpoint %q: %w", e.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (t *Tuning) validate() error {
	if min(t.DialFailures, t.RetryPercent, t.RetryFloor, t.ReceiveWindow) < 0 ||
		min(t.Aside, t.RetryWindow, t.ContinueWait, t.KeepAlive) < 0 {
		return errors.New("tuning: a value is negative; leave it out to get its default")
	}
	return nil
}

func (e *EndpointConfig) validate(allow []netip.Prefix) error {
	if e.URL == nil {
		return errors.New("no url")
	}
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if e.Name == "" {
		fail("no name")
	}
	u := e.URL
	if u.Scheme != "http" && u.Scheme != "https" {
		fail("url %q: the scheme must be http or https", u.Redacted())
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.Opaque != "" {
		fail("url %q: only scheme, host and port belong here", u.Redacted())
	}
	if err := checkHost(u.Hostname(), allow); err != nil {
		fail("url %q: %w", u.Redacted(), err)
	}
	if e.Host != "" && !httpguts.ValidHostHeader(e.Host) {
		fail("host %q is not a host", e.Host)
	}
	if e.Weight < 0 {
		fail("weight %d: must be 1 or more", e.Weight)
	}
	if t := e.Timeouts; min(t.Connect, t.FirstByte, t.Idle) < 0 {
		fail("a timeout is negative; leave it out to get its default")
	}
	if h := e.Health; h != nil {
		if !strings.HasPrefix(h.Path, "/") || strings.ContainsAny(h.Path, " \r\n\t") {
			fail("health path %q: must begin with /", h.Path)
		}
		if min(h.Interval, h.Timeout) < 0 || min(h.Rise, h.Fall) < 0 {
			fail("health: a value is negative; leave it out to get its default")
		}
	}
	return errors.Join(errs...)
}

// checkHost refuses at once what the dialer would refuse for certain. A
// name is judged when it is dialled, by what it resolves to then.
func checkHost(host string, allow []netip.Prefix) error {
	if host == "" {
		return errors.New("no host")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if reason, bad := netguard.Prohibited(addr, allow); bad {
			return fmt.Errorf("%s is %s: allow its range if that is meant", host, reason)
		}
		return nil
	}
	if netguard.Disguised(host) {
		return fmt.Errorf("%s is neither a name nor an address in its usual form", host)
	}
	return nil
}
