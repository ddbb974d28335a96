package edge

import (
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/hostname"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// reason is why a request was refused. The word stands in the access
// record and in landfall_refused_total.
type reason uint8

const (
	admitted reason = iota
	badMethod
	badTarget
	badHost
	badField
	uriTooLong
	headTooLarge
	tooManyFields
	unknownSite
	misdirected
	loop
	numReasons
)

var reasons = [numReasons]struct {
	word   string
	status int
}{
	admitted:      {"", 0},
	badMethod:     {"bad_method", http.StatusMethodNotAllowed},
	badTarget:     {"bad_target", http.StatusBadRequest},
	badHost:       {"bad_host", http.StatusBadRequest},
	badField:      {"bad_field", http.StatusBadRequest},
	uriTooLong:    {"uri_too_long", http.StatusRequestURITooLong},
	headTooLarge:  {"head_too_large", http.StatusRequestHeaderFieldsTooLarge},
	tooManyFields: {"too_many_fields", http.StatusRequestHeaderFieldsTooLarge},
	unknownSite:   {"unknown_site", http.StatusMisdirectedRequest},
	misdirected:   {"misdirected", http.StatusMisdirectedRequest},
	loop:          {"loop", http.StatusLoopDetected},
}

func (r reason) String() string { return reasons[r].word }

// admit checks what must hold before anything looks at the request, and
// puts Host into its canonical form. After it the request is read-only.
func (s *Server) admit(r *exchange.Request) reason {
	if !validMethod(r.Method) {
		return badMethod
	}
	if reason := s.admitTarget(r); reason != admitted {
		return reason
	}
	host, err := hostname.Wire(r.Host)
	if err != nil || !validPort(r.Port) {
		return badHost
	}
	r.Host = host
	if reason := s.admitFields(r); reason != admitted {
		return reason
	}
	// What Connection names is meant for us alone: neither a key, nor Vary,
	// nor a rule may see it, as no origin will.
	for _, name := range r.Header.Nominated() {
		r.Header.Del(name)
	}
	// Servers behind CGI-like interfaces read an underscore as a hyphen: such
	// a field would be another one to them than to us.
	r.Header = slices.DeleteFunc(r.Header, func(f exchange.Field) bool { return strings.Contains(f.Name, "_") })
	r.Header.JoinCookies()
	if looped(r.Header) {
		s.met.loops.Inc()
		return loop
	}
	return admitted
}

// validMethod refuses what is no token, and the methods that a reverse
// proxy must not carry: CONNECT would make it an open one, TRACE would
// show a script the fields that we add (RFC 9110, 9.3.6 and 9.3.8), and a
// PURGE by anybody would empty the caches behind us.
func validMethod(m string) bool {
	return httpguts.ValidHeaderFieldName(m) && m != http.MethodConnect && m != http.MethodTrace && m != "PURGE"
}

func (s *Server) admitTarget(r *exchange.Request) reason {
	if len(r.Path)+len(r.Query) > s.conf.Limits.RequestURI {
		s.conf.Counters.Hit(limits.RequestURI)
		return uriTooLong
	}
	if r.Path == "*" && r.Method == http.MethodOptions && r.Query == "" {
		return admitted
	}
	if !strings.HasPrefix(r.Path, "/") || !validTarget(r.Path) || !validTarget(r.Query) {
		return badTarget
	}
	path, ok := exchange.NormalPath(r.Path)
	if !ok {
		return badTarget
	}
	// From here on rule, key and origin see one string.
	r.Path, r.Query = path, exchange.NormalQuery(r.Query)
	return admitted
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

func (s *Server) admitFields(r *exchange.Request) reason {
	if len(r.Header) > s.conf.Limits.RequestFields {
		s.conf.Counters.Hit(limits.RequestFields)
		return tooManyFields
	}
	size := len(r.Method) + len(r.Path) + len(r.Query) + len(r.Host)
	for _, f := range r.Header {
		size += len(f.Name) + len(f.Value) + 4 // ": " and CRLF
		if !httpguts.ValidHeaderFieldName(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
			return badField
		}
	}
	if size > s.conf.Limits.RequestHead {
		s.conf.Counters.Hit(limits.RequestHead)
		return headTooLarge
	}
	return admitted
}

// looped reports whether the request has been here before (RFC 8586). A
// member's parameters are not ours to read.
func looped(h exchange.Header) bool {
	for id := range h.Members("cdn-loop") {
		id, _, _ = strings.Cut(id, ";")
		if strings.EqualFold(strings.TrimSpace(id), Name) {
			return true
		}
	}
	return false
}
