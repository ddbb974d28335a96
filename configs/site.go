package configs

import (
	"net/url"
	"time"
)

// Site is the site document: what one customer says about one site. The
// paths in it are resolved against the file's folder. Two lines,
// hostnames and origins, are a valid document.
type Site struct {
	Kind      string    `yaml:"kind" enum:"Site" default:"Site" doc:"kind of the document"`
	Name      string    `yaml:"name" format:"name" doc:"name of the site, unique; the file's name without extension unless given"`
	Tenant    string    `yaml:"tenant" format:"name" doc:"customer that the site belongs to"`
	Hostnames []string  `yaml:"hostnames" format:"hostpattern" items:"1000" required:"true" doc:"hosts that the site answers for; *.example.com covers one label"`
	HTTP      string    `yaml:"http" enum:"redirect serve" default:"redirect" doc:"what plain HTTP gets: a redirect to https, or the site"`
	TLS       SiteTLS   `yaml:"tls" doc:"the site's certificate and TLS policy"`
	Origins   []Origin  `yaml:"origins" items:"64" required:"true" doc:"where responses come from; an element may be just the URL"`
	Cache     SiteCache `yaml:"cache" doc:"what is stored, for how long, under which key"`
	Affinity  Affinity  `yaml:"affinity" doc:"which requests stay on one node and one endpoint of the origin"`
	Rules     []Rule    `yaml:"rules" items:"256" doc:"exceptions, in order; the first match of each kind of action wins"`

	source
}

// Values of Site.HTTP.
const (
	HTTPRedirect = "redirect"
	HTTPServe    = "serve"
)

// SiteTLS is the site's side of handshakes.
type SiteTLS struct {
	Cert       Cert        `yaml:"cert" default:"auto" doc:"auto (ACME), internal (this node's own authority, which browsers do not trust), or a mapping with both files"`
	MinVersion string      `yaml:"min_version" enum:"1.2 1.3" default:"1.2" doc:"lowest TLS version; HTTP/3 is always 1.3"`
	ClientAuth *ClientAuth `yaml:"client_auth" inforce:"none" doc:"certificates of clients"`
}

// Values of Cert.Mode.
const (
	CertAuto     = "auto"
	CertInternal = "internal"
)

// Cert is where the certificate comes from: a word, or two files.
type Cert struct {
	// Mode is CertAuto or CertInternal; "" means the files.
	Mode        string `yaml:",scalar" enum:"auto internal" doc:"auto (ACME) or internal"`
	Certificate string `yaml:"certificate" format:"file" required:"true" doc:"PEM file, the leaf first, then its chain"`
	Key         string `yaml:"key" format:"file" required:"true" doc:"PEM file with the leaf's private key"`
}

// ClientAuth asks clients for certificates.
type ClientAuth struct {
	CA   string `yaml:"ca" format:"file" required:"true" doc:"PEM file with the authorities that clients' certificates are verified with"`
	Mode string `yaml:"mode" enum:"require optional" default:"require" doc:"whether a client without a certificate is refused"`
}

// Origin is one place that responses come from.
type Origin struct {
	Name     string    `yaml:"name" format:"name" doc:"name in logs and metrics, unique in the site; the URL's host and port unless given"`
	URL      *url.URL  `yaml:"url,scalar" schemes:"http https" required:"true" doc:"scheme, host and port; no path"`
	Host     string    `yaml:"host" format:"authority" doc:"Host sent to the origin; the client's unless given"`
	Weight   int       `yaml:"weight" default:"1" min:"1" max:"1000" doc:"share of the requests, relative to the other origins"`
	Timeouts Timeouts  `yaml:"timeouts" doc:"how long the origin may take"`
	TLS      OriginTLS `yaml:"tls" doc:"how an https origin is verified"`
	Health   *Health   `yaml:"health" doc:"active check; without it only real requests count. It never changes an announcement"`
}

// Timeouts bound one request at an origin.
type Timeouts struct {
	Connect   time.Duration `yaml:"connect" default:"2s" min:"1ms" max:"10m" doc:"to a connection: name resolution, TLS and the wait for a free one included"`
	FirstByte time.Duration `yaml:"first_byte" default:"15s" min:"1ms" max:"1h" doc:"from the request sent to the head of the response"`
	Idle      time.Duration `yaml:"idle" default:"60s" min:"1s" max:"1h" doc:"between two pieces of a body, either way"`
}

// OriginTLS is our side of handshakes with an origin.
type OriginTLS struct {
	CA         string `yaml:"ca" format:"file" doc:"PEM file that the origin's certificate is verified with; the system's roots unless given"`
	ServerName string `yaml:"server_name" format:"hostname" doc:"name sent and verified; unless given the URL's host, or host when that is an address"`
}

// Health is an active check of an origin.
type Health struct {
	Path     string        `yaml:"path" format:"urlpath" required:"true" doc:"path that answers 2xx or 3xx while the origin is well"`
	Interval time.Duration `yaml:"interval" default:"10s" min:"100ms" max:"1h" doc:"between two checks"`
	Timeout  time.Duration `yaml:"timeout" default:"2s" min:"1ms" max:"10m" doc:"of one check; not longer than interval"`
	Rise     int           `yaml:"rise" default:"2" min:"1" max:"100" doc:"good checks in a row after which the origin is used again"`
	Fall     int           `yaml:"fall" default:"3" min:"1" max:"100" doc:"bad checks in a row after which the origin is not used"`
}

// TTL is a time to live. The zero TTL is the origin's: what its
// response says, or RFC 9111's heuristics when it says nothing.
type TTL struct {
	Fixed    bool
	Duration time.Duration // only when Fixed, at least 1s
}

// Values of SiteCache.SetCookie.
const (
	SetCookieBypass = "bypass"
	SetCookieStrip  = "strip"
	SetCookieStore  = "store"
)

// Values of SiteCache.Placement.
const (
	PlacementOwner = "owner"
	PlacementLocal = "local"
)

// SiteCache is how the site's responses are stored.
type SiteCache struct {
	DefaultTTL           TTL           `yaml:"default_ttl" default:"origin" doc:"lifetime of a response whose origin gives none; origin leaves it to RFC 9111"`
	StaleWhileRevalidate time.Duration `yaml:"stale_while_revalidate" default:"0s" doc:"how long a stale response is served while it is being renewed, when the origin says nothing (RFC 5861)"`
	StaleIfError         time.Duration `yaml:"stale_if_error" default:"0s" doc:"how long a stale response is served while the origin fails, when the origin says nothing (RFC 5861)"`
	Key                  CacheKey      `yaml:"key" doc:"what tells two responses apart"`
	Tags                 []string      `yaml:"tags" items:"16" format:"token" inforce:"none" doc:"response fields that carry the tags to purge by"`
	Placement            string        `yaml:"placement" enum:"owner local" default:"owner" doc:"who asks the origin for what is not stored: the one node of the PoP that owns the key, or whichever node the client reached"`
	SetCookie            string        `yaml:"set_cookie" enum:"bypass strip store" default:"bypass" doc:"what becomes of a storable response with Set-Cookie: not stored, stored without it, stored with it"`
	ObjectSize           int64         `yaml:"object_size" unit:"bytes" min:"1B" doc:"largest response that is stored; the node's limits.object_size unless given, and never more than that"`
}

// CacheKey is the site's part of the cache key.
type CacheKey struct {
	Query KeyQuery `yaml:"query" doc:"the query's part of the key"`
}

// KeyQuery says which parameters of the query count.
type KeyQuery struct {
	Exclude []string `yaml:"exclude" items:"256" format:"glob" doc:"parameters that neither count nor reach the origin; * stands for any run of characters"`
}

// Values of Affinity.By.
const (
	AffinityNone     = "none"
	AffinityCookie   = "cookie"
	AffinityHeader   = "header"
	AffinityClientIP = "client_ip"
	AffinitySticky   = "sticky"
)

// StickyCookie is the name of the cookie of AffinitySticky, unless the
// document gives another.
const StickyCookie = "landfall_session"

// Values of Affinity.Scope.
const (
	ScopePop   = "pop"
	ScopeFleet = "fleet"
)

// Affinity keeps the requests of one session on one node.
type Affinity struct {
	By    string `yaml:"by" enum:"none cookie header client_ip sticky" default:"none" doc:"what names a session: a cookie or header of the application's, the client's address, or a signed cookie that the node sets itself (sticky)"`
	Name  string `yaml:"name" format:"token" doc:"name of the cookie or header, required by both; of sticky's cookie, landfall_session unless given"`
	Scope string `yaml:"scope" enum:"pop fleet" default:"pop" doc:"nodes that keep a session: those of the PoP that it reaches, or of the whole fleet, where the PoP that has it is asked by unicast"`
}

// Rule is an exception for the requests that match it. It has exactly
// one action.
type Rule struct {
	Name     string     `yaml:"name" format:"name" doc:"name in logs"`
	When     string     `yaml:"when" format:"expression" required:"true" doc:"CEL expression over request and client that is true for a match; see rules.md"`
	Cache    *RuleCache `yaml:"cache" doc:"bypass, or a mapping with ttl"`
	Redirect *Redirect  `yaml:"redirect" doc:"answer with a redirect instead of asking cache or origin"`
}

// CacheBypass is the one value of RuleCache.Mode but "".
const CacheBypass = "bypass"

// RuleCache is what a rule does about the cache: a word, or a lifetime.
type RuleCache struct {
	// Mode is CacheBypass; "" means TTL.
	Mode string        `yaml:",scalar" enum:"bypass" doc:"bypass: neither look up nor store"`
	TTL  time.Duration `yaml:"ttl" required:"true" min:"1s" doc:"lifetime in place of the one that the origin gives; what must not be stored stays so"`
}

// Redirect is where a rule sends clients.
type Redirect struct {
	To     string `yaml:"to" format:"redirect" required:"true" doc:"absolute http or https URL, or a path; ${host}, ${path} and ${query} (with its ?) stand for the request's"`
	Status int    `yaml:"status" enum:"301 302 303 307 308" default:"308" doc:"status of the answer"`
}
