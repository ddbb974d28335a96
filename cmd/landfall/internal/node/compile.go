package node

import (
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/edge/site"
	"github.com/landfall-cdn/landfall/origin"
	"github.com/landfall-cdn/landfall/tls/certs"
	"github.com/landfall-cdn/landfall/tls/policy"
)

// compiler turns site documents into what the parts of the path take.
type compiler struct {
	node  *Node
	rules *site.Compiler
	met   *origin.Metrics
}

// compiled is a site document as the parts see it.
type compiled struct {
	site   *site.Site
	origin *origin.Origin
	certs  certs.Spec
	policy policy.SiteConfig // without its certificates
}

func newCompiler(n *Node, met *origin.Metrics) (*compiler, error) {
	rules, err := site.NewCompiler()
	return &compiler{node: n, rules: rules, met: met}, err
}

// options are what the schema needs judged by others.
func (c *compiler) options() configs.Options {
	return configs.Options{CompileRule: c.rules.Check}
}

func (c *compiler) compile(conf *configs.Site) (*compiled, error) {
	o, err := c.origin(conf)
	if err != nil {
		return nil, err
	}
	st := &site.Site{
		Name: conf.Name, Hostnames: conf.Hostnames,
		Affinity: siteAffinity(conf), Local: conf.Cache.Placement == configs.PlacementLocal,
		ServePlain: conf.HTTP == configs.HTTPServe,
		Cache:      c.cachePolicy(conf), Origin: o,
	}
	for _, r := range conf.Rules {
		rules, err := c.rule(r)
		if err != nil {
			return nil, err
		}
		st.Rules = append(st.Rules, rules...)
	}
	return &compiled{site: st, origin: o, certs: certSpec(conf), policy: tlsPolicy(conf)}, nil
}

func (c *compiler) origin(conf *configs.Site) (*origin.Origin, error) {
	out := origin.Config{
		Site: conf.Name, Allow: c.node.conf.Origins.Allow, NodeID: c.node.conf.Node.Name,
		Limits: c.node.conf.Limits, Forwarded: c.node.conf.Forwarded, Log: c.node.log.Named("origin"),
	}
	for _, o := range conf.Origins {
		e := origin.EndpointConfig{
			Name: o.Name, URL: o.URL, Host: o.Host, Weight: o.Weight,
			Timeouts: origin.Timeouts{Connect: o.Timeouts.Connect, FirstByte: o.Timeouts.FirstByte, Idle: o.Timeouts.Idle},
			TLS:      origin.TLS{ServerName: o.TLS.ServerName},
		}
		if h := o.Health; h != nil {
			e.Health = &origin.HealthConfig{Path: h.Path, Interval: h.Interval, Timeout: h.Timeout, Rise: h.Rise, Fall: h.Fall}
		}
		if o.TLS.CA != "" {
			roots, err := configs.CertPool(o.TLS.CA)
			if err != nil {
				return nil, fmt.Errorf("origin %s: tls.ca: %w", o.Name, err)
			}
			e.TLS.RootCAs = roots
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	return origin.New(out, c.node.counters, c.met)
}

func (c *compiler) cachePolicy(conf *configs.Site) cache.Policy {
	p := cache.Policy{
		Site:                 conf.Name,
		StaleWhileRevalidate: conf.Cache.StaleWhileRevalidate,
		StaleIfError:         conf.Cache.StaleIfError,
		QueryExclude:         conf.Cache.Key.Query.Exclude,
		SetCookie:            setCookie[conf.Cache.SetCookie],
		ObjectSize:           c.node.conf.Limits.ObjectSize,
	}
	if conf.Cache.DefaultTTL.Fixed {
		p.DefaultTTL = conf.Cache.DefaultTTL.Duration
	}
	if size := conf.Cache.ObjectSize; size > 0 {
		p.ObjectSize = min(size, p.ObjectSize)
	}
	return p
}

var setCookie = map[string]cache.SetCookie{
	configs.SetCookieBypass: cache.SetCookieBypass,
	configs.SetCookieStrip:  cache.SetCookieStrip,
	configs.SetCookieStore:  cache.SetCookieStore,
}

var sessionsBy = map[string]sessions.By{
	configs.AffinityNone:     sessions.None,
	configs.AffinityCookie:   sessions.FromCookie,
	configs.AffinityHeader:   sessions.FromHeader,
	configs.AffinityClientIP: sessions.FromClient,
	configs.AffinitySticky:   sessions.Sticky,
}

func siteAffinity(conf *configs.Site) sessions.Affinity {
	a := sessions.Affinity{By: sessionsBy[conf.Affinity.By], Name: conf.Affinity.Name, Fleet: conf.Affinity.Scope == configs.ScopeFleet}
	if a.By == sessions.FromHeader {
		a.Name = strings.ToLower(a.Name)
	}
	return a
}

// rule returns one compiled rule for each action: the first of each kind
// that is met decides.
func (c *compiler) rule(r configs.Rule) ([]site.Rule, error) {
	when, err := c.rules.Compile(r.When)
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", r.Name, err)
	}
	var out []site.Rule
	if r.Cache != nil {
		out = append(out, site.Rule{Name: r.Name, When: when, Bypass: r.Cache.Mode == configs.CacheBypass, TTL: r.Cache.TTL})
	}
	if r.Redirect != nil {
		out = append(out, site.Rule{Name: r.Name, When: when, Redirect: &site.Redirect{To: r.Redirect.To, Status: r.Redirect.Status}})
	}
	return out, nil
}

func certSpec(conf *configs.Site) certs.Spec {
	spec := certs.Spec{Site: conf.Name, Hostnames: conf.Hostnames}
	switch conf.TLS.Cert.Mode {
	case configs.CertAuto:
		spec.Kind = certs.Auto
	case configs.CertInternal:
		spec.Kind = certs.Internal
	default:
		spec.Kind, spec.CertFile, spec.KeyFile = certs.Files, conf.TLS.Cert.Certificate, conf.TLS.Cert.Key
	}
	return spec
}

func tlsPolicy(conf *configs.Site) policy.SiteConfig {
	p := policy.SiteConfig{Name: conf.Name, Hostnames: conf.Hostnames, MinVersion: tls.VersionTLS12}
	if conf.TLS.MinVersion == "1.3" {
		p.MinVersion = tls.VersionTLS13
	}
	return p
}

// collect gathers what the parts need to know of all sites together.
func (c *compiler) collect(docs []*document) (specs []certs.Spec, policies []policy.SiteConfig, routes []*site.Site) {
	for _, d := range docs {
		specs = append(specs, d.site.certs)
		policies = append(policies, d.site.policy)
		routes = append(routes, d.site.site)
	}
	return specs, policies, routes
}
