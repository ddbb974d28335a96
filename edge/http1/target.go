package http1

import (
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/message"
	"github.com/landfall-cdn/landfall/internal/ascii"
)

// aim says what the request is for, of the target and Host (RFC 9112, 3.2
// and 3.3).
func (h *head) aim(r *exchange.Request) exchange.Refusal {
	authority := h.host
	switch {
	case r.Method == "CONNECT":
		// What follows may be meant for a tunnel already (RFC 9110, 9.3.6).
		return exchange.BadMethod
	case h.target[0] == '/':
		r.Path, r.Query = message.Target(h.target)
	case h.target == "*":
		if r.Method != "OPTIONS" {
			return exchange.BadTarget
		}
		r.Path = h.target
	default:
		var target string
		if authority, target = absolute(h.target); authority == "" {
			return exchange.BadTarget
		}
		r.Path, r.Query = message.Target(target)
		if r.Path == "" {
			r.Path = emptyPath(r)
		}
		// The target overrides Host (RFC 9112, 3.2.2), which not every server
		// heeds: so they must agree.
		if h.hosts > 0 && !ascii.EqualFold(authority, h.host) {
			return exchange.BadHost
		}
	}
	if h.hosts == 0 && r.Proto == exchange.HTTP11 {
		return exchange.BadHost
	}
	if authority == "" && h.hosts == 0 {
		return exchange.Admitted // HTTP/1.0; admission knows no such site
	}
	host, port, ok := message.Authority(authority)
	if !ok || !hostBytes(host) {
		return exchange.BadHost
	}
	r.Host, r.Port = host, port
	return exchange.Admitted
}

// absolute splits an absolute-form into authority and path with query. The
// authority is "" when it is malformed.
func absolute(target string) (authority, rest string) {
	scheme, rest, _ := strings.Cut(target, "://")
	if !ascii.EqualFold(scheme, "http") && !ascii.EqualFold(scheme, "https") {
		return "", ""
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		return rest[:i], rest[i:]
	}
	return rest, ""
}

// emptyPath is the path of a URI without one. For OPTIONS it stands for the
// server as a whole (RFC 9112, 3.2.4).
func emptyPath(r *exchange.Request) string {
	if r.Method == "OPTIONS" && r.Query == "" {
		return "*"
	}
	return "/"
}

// hostBytes reports whether host has no other bytes than names and address
// literals have. Whether it is one is for hostname.Wire to judge.
func hostBytes(host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return true
}
