package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// The rules that span keys of the site document.

func (st *Site) check(s scope) {
	if !s.has("name") {
		st.Name = siteName(s.d.file)
		if !namePattern.MatchString(st.Name) {
			s.errorf("name", "missing, and the file's name %s is none; add name: with %s", quoted(st.Name), formats["name"].name)
		}
	}
	st.checkHostnames(s)
	st.checkOrigins(s)
}

func (st *Site) checkHostnames(s scope) {
	first := make(map[string]int)
	for i, h := range st.Hostnames {
		key := fmt.Sprintf("hostnames[%d]", i)
		other, dup := first[h]
		switch {
		case h == "":
			continue
		case dup:
			s.errorf(key, "%s is hostnames[%d] already, in line %d; remove one", h, other, s.line(fmt.Sprintf("hostnames[%d]", other)))
		case st.TLS.Cert.Mode != CertAuto:
			// Any name can stand in a certificate of one's own.
		case strings.HasPrefix(h, "*."):
			s.warnf(key, "%s cannot have a certificate by ACME, which proves single names here; give tls.cert files, or internal", h)
		case isAddr(h):
			s.warnf(key, "%s cannot have a certificate by ACME, it is an address; give tls.cert files, or internal", h)
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
func (st *Site) checkOrigins(s scope) {
	first := make(map[string]int)
	for i := range st.Origins {
		o := &st.Origins[i]
		key := fmt.Sprintf("origins[%d]", i)
		if o.Name == "" && o.URL != nil && !s.has(key+".name") {
			o.Name = originName(o.URL.Host)
		}
		other, dup := first[o.Name]
		switch {
		case o.Name == "":
			continue
		case dup:
			s.errorf(key+".name", "%s is origins[%d] already, in line %d; give each origin a name of its own", quoted(o.Name), other, s.line(fmt.Sprintf("origins[%d]", other)))
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

func (o *Origin) check(s scope) {
	if o.URL == nil {
		return
	}
	if o.URL.Path != "" && o.URL.Path != "/" {
		s.errorf("url", "%s has a path; an origin is a scheme, host and port, remove %s", quoted(o.URL.String()), quoted(o.URL.Path))
	}
	o.URL.Path, o.URL.RawPath = "", ""
	if o.URL.Scheme == "http" && s.has("tls") {
		s.errorf("tls", "has no effect on an http URL; write https, or remove tls")
	}
}

func (h *Health) check(s scope) {
	if h.Timeout > h.Interval && s.good("timeout", "interval") {
		s.errorf("timeout", "%s is longer than the interval of %s; make it shorter", FormatDuration(h.Timeout), FormatDuration(h.Interval))
	}
}

func (a *Affinity) check(s scope) {
	named := a.By == AffinityCookie || a.By == AffinityHeader
	switch {
	case !s.good("by", "name"):
		return
	case named && a.Name == "":
		s.errorf("name", "missing; by %s needs the name of the %s", a.By, a.By)
	case !named && s.has("name"):
		s.errorf("name", "has no effect by %s; remove it, or write by: cookie or by: header", a.By)
	}
}

func (r *Rule) check(s scope) {
	switch {
	case !s.has("cache") && !s.has("redirect"):
		s.errorf("", "has no action; expected cache or redirect")
	case s.has("cache") && s.has("redirect"):
		s.errorf("cache", "has no effect beside redirect, which answers without the cache; remove one")
	}
	if r.When == "" || s.d.opt.CompileRule == nil {
		return
	}
	if err := s.d.opt.CompileRule(r.When); err != nil {
		s.errorf("when", "is not a valid condition: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
}
