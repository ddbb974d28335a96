package configs

import (
	"fmt"
	"net/netip"
	"net/url"

	"github.com/landfall-cdn/landfall/internal/netguard"
)

// CheckSet judges what no document can know alone: whether two sites
// claim one name or hostname, whether origins live where the node lets
// them, and whether the files that the documents name can be used. It
// reads those files, and nothing else.
//
// Without a node, nil, its files are not checked, and an origin that
// would need the operator's permission is a warning only.
func CheckSet(sites []*Site, node *Node) Diagnostics {
	var diags Diagnostics
	names := make(map[string]*Site)
	hosts := make(map[string]claim)
	for _, s := range sites {
		if other, dup := names[s.Name]; dup {
			diags = append(diags, s.diagnostic("name", Error,
				"%s is the name of the site in %s too; give each site a name of its own", quoted(s.Name), other.Where("name")))
		} else {
			names[s.Name] = s
		}
		diags = append(diags, s.claimHosts(hosts)...)
		diags = append(diags, s.checkRanges(node)...)
		diags = append(diags, s.checkFiles()...)
	}
	if node != nil {
		diags = append(diags, node.checkFiles()...)
	}
	diags.sort()
	return diags
}

// claim is a hostname in a document.
type claim struct {
	site *Site
	path string
}

// claimHosts enters the site's hostnames, and refuses those that another
// site has: no request could tell whose it is.
func (s *Site) claimHosts(hosts map[string]claim) (diags Diagnostics) {
	for i, h := range s.Hostnames {
		path := fmt.Sprintf("hostnames[%d]", i)
		other, dup := hosts[h]
		if !dup {
			hosts[h] = claim{s, path}
			continue
		}
		diags = append(diags, s.diagnostic(path, Error,
			"%s belongs to the site %s already, at %s; remove one of the two", h, quoted(other.site.Name), other.site.Where(other.path)))
	}
	return diags
}

// checkRanges refuses origins at addresses that are not public, unless
// the node allows them. The origin package asks again at each dial, when
// names have become addresses.
func (s *Site) checkRanges(node *Node) (diags Diagnostics) {
	sev, allow := Warning, []netip.Prefix(nil)
	if node != nil {
		sev, allow = Error, node.Origins.Allow
	}
	for i, o := range s.Origins {
		if reason, bad := prohibited(o.URL, allow); bad {
			diags = append(diags, s.diagnostic(fmt.Sprintf("origins[%d].url", i), sev,
				"%s is %s, where origins are refused; use a public address, or have the operator allow the range in the node file, in origins.allow",
				o.URL.Hostname(), reason))
		}
	}
	return diags
}

// prohibited says why an origin may not live at u's host. Of a name only
// those are judged that mean this machine by definition.
func prohibited(u *url.URL, allow []netip.Prefix) (reason string, bad bool) {
	host := u.Hostname()
	if netguard.Loopback(host) {
		_, bad4 := netguard.Prohibited(netip.AddrFrom4([4]byte{127, 0, 0, 1}), allow)
		_, bad6 := netguard.Prohibited(netip.IPv6Loopback(), allow)
		return "this machine (RFC 6761)", bad4 && bad6
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "", false
	}
	return netguard.Prohibited(addr, allow)
}
