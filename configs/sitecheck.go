package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// The rules that span keys of the site document.

func (s *Site) check(in scope) {
	if !in.has("name") {
		s.Name = siteName(in.d.file)
		if !labelPattern.MatchString(s.Name) {
			in.errorf("name", "missing, and the file's name %s is none; add name: with %s", quoted(s.Name), formats["name"].name)
		}
	}
	s.checkHostnames(in)
	s.checkOrigins(in)
}

func (s *Site) checkHostnames(in scope) {
	first := make(map[string]int)
	for i, h := range s.Hostnames {
		key := fmt.Sprintf("hostnames[%d]", i)
		other, dup := first[h]
		switch {
		case h == "":
			continue
		case dup:
			in.errorf(key, "%s is hostnames[%d] already, in line %d; remove one", h, other, in.line(fmt.Sprintf("hostnames[%d]", other)))
		case s.TLS.Cert.Mode != CertAuto:
			// Any name can stand in a certificate of one's own.
		case strings.HasPrefix(h, "*."):
			in.warnf(key, "%s cannot have a certificate by ACME, which proves single names here; give tls.cert files, or internal", h)
		case isAddr(h):
			in.warnf(key, "%s cannot have a certificate by ACME, it is an address; give tls.cert files, or internal", h)
		}
		if !dup {
			first[h] = i
		}
	}
}

func isAddr(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// checkOrigins gives the origins their names and refuses two of one name.
func (s *Site) checkOrigins(in scope) {
	first := make(map[string]int)
	for i := range s.Origins {
		o := &s.Origins[i]
		key := fmt.Sprintf("origins[%d]", i)
		if o.Name == "" && o.URL != nil && !in.has(key+".name") {
			o.Name = originName(o.URL.Host)
		}
		other, dup := first[o.Name]
		switch {
		case o.Name == "":
			continue
		case dup:
			in.errorf(key+".name", "%s is origins[%d] already, in line %d; give each origin a name of its own", quoted(o.Name), other, in.line(fmt.Sprintf("origins[%d]", other)))
		default:
			first[o.Name] = i
		}
	}
}

// originName makes a name of a URL's host and port.
func originName(host string) string {
	name := strings.NewReplacer(":", "-", "[", "", "]", "").Replace(host)
	name = strings.Trim(name, "-_.")
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-_.")
	}
	return name
}

func (o *Origin) check(in scope) {
	if o.URL == nil {
		return
	}
	if o.URL.Path != "" && o.URL.Path != "/" {
		in.errorf("url", "%s has a path; an origin is a scheme, host and port, remove %s", quoted(o.URL.String()), quoted(o.URL.Path))
	}
	o.URL.Path, o.URL.RawPath = "", ""
	if o.URL.Scheme == "http" && in.has("tls") {
		in.errorf("tls", "has no effect on an http URL; write https, or remove tls")
	}
}

func (h *Health) check(in scope) {
	if h.Timeout > h.Interval && in.good("timeout", "interval") {
		in.errorf("timeout", "%s is longer than the interval of %s; make it shorter", FormatDuration(h.Timeout), FormatDuration(h.Interval))
	}
}

func (a *Affinity) check(in scope) {
	if !in.good("by", "name", "scope") {
		return
	}
	switch a.By {
	case AffinityCookie, AffinityHeader:
		if a.Name == "" {
			in.errorf("name", "missing; by %s needs the name of the %s", a.By, a.By)
		}
	case AffinitySticky:
		if a.Name == "" {
			a.Name = StickyCookie
		}
	default:
		if in.has("name") {
			in.errorf("name", "has no effect by %s; remove it, or write by: cookie, by: header or by: sticky", a.By)
		}
	}
	if a.By == AffinityNone && a.Scope == ScopeFleet {
		in.errorf("scope", "has no effect by none; remove it, or say what names a session")
	}
}

func (r *Rule) check(in scope) {
	switch {
	case !in.has("cache") && !in.has("redirect"):
		in.errorf("", "has no action; expected cache or redirect")
	case in.has("cache") && in.has("redirect"):
		in.errorf("cache", "has no effect beside redirect, which answers without the cache; remove one")
	}
	if r.When == "" || in.d.opt.CompileRule == nil {
		return
	}
	if err := in.d.opt.CompileRule(r.When); err != nil {
		in.errorf("when", "is not a valid condition: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
}
