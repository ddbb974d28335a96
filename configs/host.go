package configs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/landfall-cdn/landfall/internal/hostname"
	"github.com/landfall-cdn/landfall/internal/netguard"
)

// A label neither begins nor ends with a hyphen (RFC 1123, 2.1).
// Underscores are no part of that rule and are seen all the same.
var namePattern = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// canonicalName returns the one form of a host name. It does not take
// addresses, nor what some would take for one.
func canonicalName(text string) (string, error) {
	name, err := hostname.Config(text)
	if err != nil || !namePattern.MatchString(name) {
		return "", fmt.Errorf("%s is not a host name; expected labels of letters, digits and hyphens with dots between", quoted(text))
	}
	if _, err := netip.ParseAddr(name); err == nil || netguard.Disguised(name) {
		return "", fmt.Errorf("%s reads as a number, which some take for an IPv4 address; write a name, or the address as a.b.c.d", quoted(text))
	}
	return name, nil
}

// parseHostname reads a host that clients use, a name or an address,
// with a wildcard as its first label where that is allowed.
func parseHostname(text string, wildcard bool) (string, error) {
	switch {
	case strings.Contains(text, "://"):
		return "", fmt.Errorf("%s is a URL; write the host alone", quoted(text))
	case strings.Contains(text, "/"):
		return "", fmt.Errorf("%s has a path; write the host alone", quoted(text))
	}
	if addr, err := netip.ParseAddr(unbracketed(text)); err == nil {
		return canonicalAddr(addr, text)
	}
	if host, port, ok := strings.Cut(text, ":"); ok {
		return "", fmt.Errorf("%s has the port %s; write %s, the ports are the node's", quoted(text), quoted(port), quoted(host))
	}
	rest, star := strings.CutPrefix(text, "*.")
	switch {
	case !wildcard && strings.Contains(text, "*"):
		return "", fmt.Errorf("%s has a wildcard; expected one name", quoted(text))
	case strings.Contains(rest, "*"):
		return "", fmt.Errorf("%s has a misplaced wildcard; only the whole first label may be *, as in *.example.com", quoted(text))
	}
	name, err := canonicalName(rest)
	if err != nil || !star {
		return name, err
	}
	if hostname.Parent(name) == "" {
		return "", fmt.Errorf("%s covers all of %s; name at least one more label", quoted(text), quoted(name))
	}
	return "*." + name, nil
}

// canonicalAddr refuses an address that could be written otherwise.
func canonicalAddr(addr netip.Addr, text string) (string, error) {
	switch {
	case addr.Zone() != "":
		return "", fmt.Errorf("%s has a zone, which means something on one machine only; remove it", quoted(text))
	case addr.Is4In6():
		return "", fmt.Errorf("%s is an IPv4-mapped IPv6 address; write %s", quoted(text), addr.Unmap())
	}
	return addr.String(), nil
}

// unbracketed takes the brackets of an IPv6 literal off.
func unbracketed(text string) string {
	if inner, ok := strings.CutPrefix(text, "["); ok && strings.Contains(inner, ":") {
		return strings.TrimSuffix(inner, "]")
	}
	return text
}

// parseAuthority reads the value of a Host field: host, or host:port.
func parseAuthority(text string) (string, error) {
	host, port := text, ""
	// A colon inside brackets belongs to an address.
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		host, port = text[:i], text[i:]
		if err := checkPort(port[1:]); err != nil {
			return "", fmt.Errorf("%s: %w", quoted(text), err)
		}
	}
	host, err := parseHostname(host, false)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + port, err
}

// parseHostPort reads where another machine is: a name or an address, with
// a port.
func parseHostPort(text string) (string, error) {
	host, _, err := net.SplitHostPort(text)
	switch {
	case strings.Contains(text, "://"):
		return "", fmt.Errorf("%s is a URL; write host:port alone", quoted(text))
	case strings.Count(text, ":") > 1 && !strings.HasPrefix(text, "["):
		return "", fmt.Errorf("%s is ambiguous; write an IPv6 address in brackets, as in [2001:db8::1]:7946", quoted(text))
	case err != nil:
		return "", fmt.Errorf("%s has no port; write host:port such as fra-2.example.com:7946", quoted(text))
	case host == "":
		return "", fmt.Errorf("%s has no host; write host:port such as fra-2.example.com:7946", quoted(text))
	}
	if addr, err := netip.ParseAddr(host); err == nil && !unicast(addr) {
		return "", fmt.Errorf("%s is no one machine's address; expected a name or a unicast address", quoted(text))
	}
	return parseAuthority(text)
}

// unicast reports whether a can be the address of one machine.
func unicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func checkPort(port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%s is not a port; expected 1 to 65535", quoted(port))
	}
	return nil
}

// parseURL reads an absolute URL that is safe to keep and to show: it
// has no credentials, no query and no fragment, and its host has one
// reading only.
func parseURL(text string, schemes []string) (*url.URL, error) {
	if strings.Contains(text, "@") {
		// Not quoted: it may hold a password.
		return nil, errors.New("has an @, as credentials do; remove them, they do not belong in a document")
	}
	u, err := url.Parse(text)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, fmt.Errorf("%s is not a URL: %w", quoted(text), err)
	}
	_, authority, _ := strings.Cut(text, "://")
	authority, _, _ = strings.Cut(authority, "/")
	switch {
	case !slices.Contains(schemes, u.Scheme) || !strings.HasPrefix(text[len(u.Scheme):], "://"):
		return nil, fmt.Errorf("%s is not an absolute URL with scheme %s; write %s://host", quoted(text), oneOf(schemes), schemes[len(schemes)-1])
	case strings.Contains(text, "?"):
		return nil, fmt.Errorf("%s has a query; remove it", quoted(text))
	case strings.Contains(text, "#"):
		return nil, fmt.Errorf("%s has a fragment; remove it", quoted(text))
	case strings.Contains(authority, "%") && !strings.HasPrefix(authority, "["):
		return nil, fmt.Errorf("%s has escapes in its host; write the host plainly", quoted(text))
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s has no host", quoted(text))
	}
	host, err := urlHost(u.Hostname(), strings.HasPrefix(u.Host, "["))
	if err != nil {
		return nil, err
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if err := checkPort(port); err != nil {
			return nil, fmt.Errorf("%s: %w", quoted(text), err)
		}
		host += ":" + port
	}
	u.Host = host
	return u, nil
}

// urlHost returns the canonical form of a URL's host, an address with
// the brackets that it needs.
func urlHost(host string, bracketed bool) (string, error) {
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil && bracketed:
		return "", fmt.Errorf("%s is not an IPv6 address", quoted(host))
	case err != nil:
		return canonicalName(host)
	}
	host, err = canonicalAddr(addr, host)
	if bracketed {
		host = "[" + host + "]"
	}
	return host, err
}

func parseAddrPort(text string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(text)
	switch {
	case err == nil && ap.Addr().Is4In6():
		return ap, fmt.Errorf("%s is an IPv4-mapped IPv6 address; write %s", quoted(text), netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
	case err == nil:
		return ap, nil
	}
	if port, ok := strings.CutPrefix(text, ":"); ok && checkPort(port) == nil {
		return ap, fmt.Errorf("%s has no address; write 0.0.0.0:%s or [::]:%s for all, 127.0.0.1:%s for this machine", quoted(text), port, port, port)
	}
	if addr, err := netip.ParseAddr(unbracketed(text)); err == nil {
		return ap, fmt.Errorf("%s has no port; write %s", quoted(text), netip.AddrPortFrom(addr, 443))
	}
	return ap, fmt.Errorf("%s is not an address with a port; write one such as 127.0.0.1:8443 or [::1]:8443, names are not resolved here", quoted(text))
}

func parseAddr(text string, only4 bool) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return addr, fmt.Errorf("%s is not an address; write one such as 10.0.0.1 or 2001:db8::1", quoted(text))
	case addr.Zone() != "":
		return addr, fmt.Errorf("%s has a zone; write a global or private address", quoted(text))
	case addr.Is4In6():
		return addr, fmt.Errorf("%s is an IPv4-mapped IPv6 address; write %s", quoted(text), addr.Unmap())
	case only4 && !addr.Is4():
		return addr, fmt.Errorf("%s is not an IPv4 address; write one such as 10.0.0.1", quoted(text))
	}
	return addr, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			return p, fmt.Errorf("%s has no length; write %s for this address alone", quoted(text), netip.PrefixFrom(addr, addr.BitLen()))
		}
		return p, fmt.Errorf("%s is not a prefix; write one such as 10.0.0.0/8 or 2001:db8::/32", quoted(text))
	}
	switch {
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%s is an IPv4-mapped IPv6 prefix; write it as IPv4", quoted(text))
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits set behind its length; write %s", quoted(text), p.Masked())
	}
	return p, nil
}
