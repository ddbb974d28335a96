package exchange

import (
	"io"
	"net/netip"
	"strings"
	"time"
)

// Proto is the HTTP version that a request arrived in.
type Proto uint8

// The versions a front end speaks.
const (
	HTTP10 Proto = iota
	HTTP11
	HTTP2
	HTTP3
)

// String returns the version as access records show it.
func (p Proto) String() string {
	return [...]string{"HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"}[p]
}

// Via returns the version as the Via field spells it (RFC 9110, 7.6.3).
func (p Proto) Via() string {
	return [...]string{"1.0", "1.1", "2", "3"}[p]
}

// TLS is what the handshake of the request's connection settled.
type TLS struct {
	Version    uint16 // crypto/tls's number, such as tls.VersionTLS13
	ServerName string // SNI, canonical form; "" when the client sent none
	ALPN       string
	Resumed    bool
}

// Request is one request after admission. A front end fills it, the
// edge admits it, and from then on everybody reads it and nobody
// writes to it; a part that wants it different takes a Clone.
type Request struct {
	Proto  Proto
	Method string // as sent: methods are case-sensitive
	Scheme string // "https" or "http"

	// Host is the canonical host of the request: lower case, ASCII, no
	// port, no trailing dot. Routing, keys and records use this form only.
	Host string
	// Port is the port of the authority as sent, "" when there was none.
	Port string

	// Path is the path as sent, percent-encoding untouched. It begins with
	// "/", or is "*" for OPTIONS. Query is everything from the "?" on, the
	// "?" included, or "". Path+Query is what goes to an origin.
	Path  string
	Query string

	// Upgrade is the protocol asked for by Upgrade (HTTP/1.1) or by an
	// extended CONNECT (RFC 8441, RFC 9220): "websocket". "" means none.
	Upgrade string

	Header Header
	// Body is nil when the request has none. The front end closes it.
	Body io.ReadCloser
	// Length is the body's length in bytes; -1 when it is not known.
	Length int64
	// Trailer gives the trailer fields once Body has returned io.EOF; it
	// may be nil.
	Trailer func() Header

	// Refused is why the front end refuses the request: then only what could
	// be read of it is set, and it is answered with Refused.Status.
	Refused Refusal
	// Early says that the request came in early data, which an attacker can
	// send again (RFC 8470).
	Early bool

	// Client is the peer of the connection, Local our end of it.
	Client netip.AddrPort
	Local  netip.AddrPort
	// TLS is nil on a plain connection.
	TLS *TLS
	// Conn identifies the client's connection within this process; the
	// bound on requests at an origin counts by it.
	Conn *Conn

	// ID names the request in records and to the origin.
	ID string
	// Arrived is read once; every decision about this request uses it.
	Arrived time.Time
	// Asked is what another node wants with the request; AskNothing when it
	// came from a client.
	Asked Ask

	// Session is what all requests of one session have in common, the
	// site's name in front; "" when the request belongs to none. Endpoint
	// names the origin's endpoint that the session is on, "" when that is
	// still to be chosen.
	Session  string
	Endpoint string

	// Interim passes a 1xx response other than 101 on to the client. It is
	// nil when nobody is there to read one, and must not be called after
	// Fill has returned.
	Interim func(status int, h Header)
}

// Target returns the origin-form of the request target.
func (r *Request) Target() string { return r.Path + r.Query }

// Authority returns host and port as an origin should see them in Host.
func (r *Request) Authority() string {
	host := r.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if r.Port == "" {
		return host
	}
	return host + ":" + r.Port
}

// Clone returns a copy whose Header may be changed. The body, which can
// be read only once, is shared.
func (r *Request) Clone() *Request {
	c := *r
	c.Header = r.Header.Clone()
	return &c
}
