package edge

import (
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
)

// cookie returns the Set-Cookie that binds a client's session to this node
// and to the endpoint that has just answered, "" when the client has it, or
// needs none. Only a response that was handed to this client alone binds
// one, which is when it says what endpoint it came from: what is for all
// carries no cookie.
func (x *passage) cookie(res *cache.Result) string {
	st, f, endpoint := x.site, x.placed, res.Response.Endpoint
	if st.Affinity.By != sessions.Sticky || endpoint == "" || f.passed.Load() {
		return ""
	}
	if f.session == "" && (f.known || forAll(res.Response.Header)) {
		return "" // it was asked for by its key: the session is where it was
	}
	pop := x.s.conf.Pop
	table, _ := pop.Table()
	if !f.known && table.Count(pop.Self) == 0 && len(table.Owners()) > 0 {
		return "" // this node is leaving; the next one binds
	}
	c := f.cookie
	if f.known && !c.Aging && c.Owner == pop.Self && c.Endpoint == endpoint {
		return ""
	}
	if !f.known {
		c = sessions.NewCookie()
	}
	c.Owner, c.Endpoint = pop.Self, endpoint
	pop.Sessions.Hold(sessions.Name(st.Name, c.Session()), endpoint, time.Now())
	b := append([]byte(nil), st.Affinity.Name...)
	b = append(append(b, '='), sessions.Seal(pop.CookieKeys(st.Name, x.r.Arrived), st.Name, c)...)
	b = append(b, "; Path=/; HttpOnly; SameSite=Lax"...)
	if x.r.Scheme == "https" {
		b = append(b, "; Secure"...)
	}
	return string(b)
}

// forAll reports whether a response says that it is for more than this
// client (RFC 9111, 5.2.2), stored here or not.
func forAll(h exchange.Header) bool {
	all := h.Has("expires")
	for d := range h.Members("cache-control") {
		name, value, _ := strings.Cut(strings.ToLower(d), "=")
		switch name {
		case "private", "no-store", "no-cache":
			return false
		case "public":
			all = true
		case "max-age", "s-maxage":
			all = all || value != "0"
		}
	}
	return all && !h.Has("set-cookie")
}
