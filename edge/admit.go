package edge

import (
	"net/http"
	"slices"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/message"
	"github.com/landfall-cdn/landfall/internal/ascii"
	"github.com/landfall-cdn/landfall/internal/hostname"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// admit checks what must hold before anything looks at the request, and
// brings it into normal form: after it the request is read-only. What is
// in normal form already passes unchanged, without an allocation. What
// another node brings was admitted there.
func (s *Server) admit(r *exchange.Request) exchange.Refusal {
	if r.Relayed() {
		return exchange.Admitted
	}
	if r.Refused != exchange.Admitted {
		return r.Refused
	}
	if !validMethod(r.Method) {
		return exchange.BadMethod
	}
	if why := s.admitTarget(r); why != exchange.Admitted {
		return why
	}
	host, err := hostname.Wire(r.Host)
	if err != nil || !validPort(r.Port) {
		return exchange.BadHost
	}
	r.Host = host
	return s.admitFields(r)
}

// validMethod refuses what is no token, and the methods that a reverse
// proxy must not carry: CONNECT would make it an open one, TRACE would
// show a script the fields that we add (RFC 9110, 9.3.6 and 9.3.8), and a
// PURGE by anybody would empty the caches behind us.
func validMethod(m string) bool {
	return message.Token(m) && m != http.MethodConnect && m != http.MethodTrace && m != "PURGE"
}

func (s *Server) admitTarget(r *exchange.Request) exchange.Refusal {
	if len(r.Path)+len(r.Query) > s.conf.Limits.RequestURI {
		return exchange.URITooLong
	}
	if r.Path == "*" && r.Method == http.MethodOptions && r.Query == "" {
		return exchange.Admitted
	}
	if !strings.HasPrefix(r.Path, "/") || !validTarget(r.Path) || !validTarget(r.Query) {
		return exchange.BadTarget
	}
	path, ok := exchange.NormalPath(r.Path)
	if !ok {
		return exchange.BadTarget
	}
	// From here on rule, key and origin see one string.
	r.Path, r.Query = path, exchange.NormalQuery(r.Query)
	return exchange.Admitted
}

// validTarget refuses bytes that no request target holds (RFC 9112, 3.2)
// and that a server behind us might cut, split or decode: controls, space,
// fragments and everything outside ASCII.
func validTarget(t string) bool {
	for i := range len(t) {
		if c := t[i]; c <= ' ' || c >= 0x7f || c == '#' || c == '\\' {
			return false
		}
	}
	return true
}

func validPort(p string) bool {
	if len(p) > 5 {
		return false
	}
	for i := range len(p) {
		if p[i] < '0' || p[i] > '9' {
			return false
		}
	}
	return true
}

// noted says which fields need more than a check.
type noted struct {
	connection, underscore, loop bool
	cookies, options             int
}

func (s *Server) admitFields(r *exchange.Request) exchange.Refusal {
	if len(r.Header) > s.conf.Limits.RequestFields {
		return exchange.TooManyFields
	}
	size := len(r.Method) + len(r.Path) + len(r.Query) + len(r.Host)
	var n noted
	for i := range r.Header {
		f := &r.Header[i]
		size += len(f.Name) + len(f.Value) + 4 // ": " and CRLF
		if !message.Token(f.Name) || !message.FieldValue(f.Value) {
			return exchange.BadField
		}
		switch f.Name {
		case "connection":
			n.connection = true
			n.options += 1 + strings.Count(f.Value, ",")
		case "cookie":
			n.cookies++
		case "cdn-loop":
			n.loop = true
		default:
			n.underscore = n.underscore || strings.IndexByte(f.Name, '_') >= 0
		}
	}
	if size > s.conf.Limits.RequestHead {
		return exchange.HeadTooLarge
	}
	if n.options > maxOptions {
		return exchange.BadField
	}
	return tidy(r, n)
}

// maxOptions bounds the options of Connection: each is looked for among all
// fields.
const maxOptions = 32

// tidy takes away what goes no further.
func tidy(r *exchange.Request, n noted) exchange.Refusal {
	if n.connection {
		// What Connection names is meant for us alone: neither a key, nor
		// Vary, nor a rule may see it, as no origin will.
		for _, name := range r.Header.Nominated() {
			r.Header.Del(name)
		}
	}
	if n.underscore {
		// Servers behind CGI-like interfaces read an underscore as a hyphen:
		// such a field would be another one to them than to us.
		r.Header = slices.DeleteFunc(r.Header, func(f exchange.Field) bool { return strings.Contains(f.Name, "_") })
	}
	if n.cookies > 1 {
		r.Header.JoinCookies()
	}
	if r.Early && !r.Header.Has("early-data") {
		r.Header.Add("early-data", "1") // RFC 8470, 5.1
	}
	if n.loop && looped(r.Header) {
		return exchange.Loop
	}
	return exchange.Admitted
}

// limitOf returns the limit that a refusal is about, if it is about one.
func limitOf(why exchange.Refusal) (limits.Name, bool) {
	switch why {
	case exchange.URITooLong:
		return limits.RequestURI, true
	case exchange.HeadTooLarge:
		return limits.RequestHead, true
	case exchange.TooManyFields:
		return limits.RequestFields, true
	case exchange.HeadTooSlow:
		return limits.HeaderTime, true
	default: // a fault, not a limit
		return 0, false
	}
}

// looped reports whether the request has been here before (RFC 8586). A
// member's parameters are not ours to read.
func looped(h exchange.Header) bool {
	for id := range h.Members("cdn-loop") {
		id, _, _ = strings.Cut(id, ";")
		if ascii.EqualFold(strings.TrimSpace(id), Name) {
			return true
		}
	}
	return false
}
