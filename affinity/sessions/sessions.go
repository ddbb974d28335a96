// Package sessions is what a node knows of sessions: which request belongs
// to which (Affinity), what a signed cookie of ours says about one
// (Cookie), and which ones this node has served lately (Table). It opens no
// connection, keeps no clock and decides nothing: who owns a session is the
// table's of the PoP, and who serves a request the edge's.
package sessions

import (
	"net/netip"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// MaxValue is the length of the longest value that names a session, in
// bytes: as much as browsers keep in a cookie (RFC 6265, 6.1). A request
// with a longer one belongs to no session.
const MaxValue = 4096

// By says what the sessions of a site are known by.
type By uint8

// The ways.
const (
	None       By = iota // the site has no sessions
	FromCookie           // a cookie that the site's own server sets
	FromHeader           // a field of the request
	FromClient           // the client's address; IPv6: its /64
	Sticky               // a cookie of ours, see Cookie
)

// Affinity is a site's word on sessions. The zero value has none.
type Affinity struct {
	By By
	// Name is that of the cookie, or of the field in lower case.
	Name string
	// Fleet says that a session has one owner in the fleet, not one in each
	// PoP.
	Fleet bool
}

// Value returns what tells the session of a request from others of the
// site, "" when the request belongs to none. By Sticky that is the cookie
// as it came: Open says whether it is one of ours.
func (a *Affinity) Value(r *exchange.Request) string {
	value := ""
	switch a.By {
	case FromCookie, Sticky:
		value = cookieValue(r.Header, a.Name)
	case FromHeader:
		value = strings.Trim(r.Header.Get(a.Name), " \t")
	case FromClient:
		value = clientValue(r.Client.Addr())
	case None:
	}
	if len(value) > MaxValue {
		return ""
	}
	return value
}

// Name returns the name of a session among those of all sites, "" for the
// value "". No site's name has a space.
func Name(site, value string) string {
	if value == "" {
		return ""
	}
	return site + " " + value
}

// cookieValue returns the value of the first cookie with this name
// (RFC 6265, 4.2). Names are case-sensitive, and quotes belong to the value.
func cookieValue(h exchange.Header, name string) string {
	for i := range h {
		if h[i].Name != "cookie" {
			continue
		}
		for pair := range strings.SplitSeq(h[i].Value, ";") {
			if n, value, ok := strings.Cut(pair, "="); ok && strings.Trim(n, " \t") == name {
				return strings.Trim(value, " \t")
			}
		}
	}
	return ""
}

// clientValue names the client at an address. A client with IPv6 has all of
// a /64, and changes its address in it at will (RFC 8981).
func clientValue(addr netip.Addr) string {
	if addr = addr.Unmap(); !addr.Is6() {
		if !addr.IsValid() {
			return ""
		}
		return addr.String()
	}
	network, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return ""
	}
	return network.Addr().String()
}
