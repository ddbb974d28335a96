package edge

import (
	"time"

	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/cache"
)

// cookie returns the Set-Cookie that binds a client's session to this node
// and to the endpoint that has just answered, "" when the client has it, or
// needs none. Only a response that was handed to this client alone binds
// one, which is when it says what endpoint it came from: what is for all
// carries no cookie.
func (x *passage) cookie(res *cache.Result) string {
	st, f, endpoint := x.site, x.placed, res.Response.Endpoint
	if st.Affinity.By != sessions.Sticky || endpoint == "" {
		return ""
	}
	pop := x.s.conf.Pop
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
