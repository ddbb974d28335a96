// Package hostname holds the one canonical form of a host, used for
// routing, keys, certificates and records alike. Two spellings of one host
// that took different ways through these would let one site be served
// under another's rules.
package hostname

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// MaxLen bounds a host in bytes (RFC 1035, 2.3.4, without the last dot).
const MaxLen = 253

// ErrInvalid says that a name is no host name and no IP address.
var ErrInvalid = errors.New("not a host name or IP address")

// Wire returns the canonical form of a host as it stands on the wire, in
// SNI, Host or :authority: ASCII, lower case, without one trailing dot.
// IPv6 literals come without brackets. Names outside LDH and underscore
// are ErrInvalid: a client sends A-labels (RFC 5890, 2.3.2.1). A name
// already canonical costs no allocation.
func Wire(host string) (string, error) {
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		addr, err := netip.ParseAddr(host[1 : n-1])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", ErrInvalid
		}
		return addr.String(), nil
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > MaxLen {
		return "", ErrInvalid
	}
	upper, label := false, 0
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
			label++
		case 'A' <= c && c <= 'Z':
			upper = true
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return "", ErrInvalid
		}
		if label > 63 {
			return "", ErrInvalid
		}
	}
	if label == 0 {
		return "", ErrInvalid
	}
	if upper {
		host = strings.ToLower(host)
	}
	return host, nil
}

// Config returns the canonical form of a host as an operator or customer
// writes it: as Wire, with international names mapped to A-labels. A
// leading "*." label, for a wildcard, is kept.
func Config(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() && addr.Zone() == "" {
		return addr.String(), nil // no brackets are needed where no port can follow
	}
	rest, wild := strings.CutPrefix(host, "*.")
	ascii, err := idna.Lookup.ToASCII(rest)
	if err != nil {
		// Lookup refuses underscores, which real host names have.
		ascii = rest
	}
	name, err := Wire(ascii)
	if err != nil {
		return "", err
	}
	if !wild {
		return name, nil
	}
	if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(name, ".") {
		return "", ErrInvalid
	}
	return "*." + name, nil
}

// Parent returns name without its first label: what follows "*." in the
// wildcard that covers it. It is "" when name has one label only.
func Parent(name string) string {
	_, rest, ok := strings.Cut(name, ".")
	if !ok || rest == "" {
		return ""
	}
	return rest
}
