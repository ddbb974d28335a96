// Package site is a customer's site as the request path sees it: compiled,
// immutable, found by host in a table that is swapped whole. It never
// reads files and never dials.
package site

import (
	"fmt"

	"github.com/landfall-cdn/landfall/affinity/sessions"
	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/hostname"
)

// Site is one site. Nothing in it changes after NewTable.
type Site struct {
	Name string
	// Hostnames are in the form of hostname.Config: canonical, a wildcard
	// only as the leftmost label.
	Hostnames []string
	// ServePlain serves plain HTTP instead of redirecting it to https.
	ServePlain bool

	Cache  cache.Policy
	Rules  []Rule
	Origin exchange.Filler

	// Affinity says which requests belong to a session, and so to one node.
	Affinity sessions.Affinity
	// Local has every node fill for itself what is for all, instead of the
	// one that owns the key.
	Local bool
}

// Table finds a site by host.
type Table struct {
	exact    map[string]*Site
	wildcard map[string]*Site // key without "*."
	fallback *Site            // for connections without SNI; may be nil
	sites    []*Site
}

// NewTable builds a table. fallback names the site that a client without
// SNI is talking to, "" for none. It is an error when two sites claim one
// hostname.
func NewTable(sites []*Site, fallback string) (*Table, error) {
	t := &Table{exact: map[string]*Site{}, wildcard: map[string]*Site{}, sites: sites}
	for _, s := range sites {
		if s.Name == fallback {
			t.fallback = s
		}
		for _, h := range s.Hostnames {
			if err := t.add(h, s); err != nil {
				return nil, err
			}
		}
	}
	if fallback != "" && t.fallback == nil {
		return nil, fmt.Errorf("no site is named %q, which clients without SNI should get", fallback)
	}
	return t, nil
}

func (t *Table) add(host string, s *Site) error {
	index, key := t.exact, host
	if len(host) > 2 && host[:2] == "*." {
		index, key = t.wildcard, host[2:]
	}
	if other, taken := index[key]; taken {
		return fmt.Errorf("hostname %s belongs to site %s and to site %s", host, other.Name, s.Name)
	}
	index[key] = s
	return nil
}

// Lookup returns the site of a canonical host, nil when there is none. An
// exact name wins over a wildcard, which covers one label.
func (t *Table) Lookup(host string) *Site {
	if s := t.exact[host]; s != nil {
		return s
	}
	if len(t.wildcard) == 0 {
		return nil
	}
	return t.wildcard[hostname.Parent(host)]
}

// LookupServerName returns the site that the handshake was for: like
// Lookup, and the fallback for a client that sent no SNI.
func (t *Table) LookupServerName(name string) *Site {
	if name == "" {
		return t.fallback
	}
	return t.Lookup(name)
}

// Sites returns all sites, in the order given to NewTable.
func (t *Table) Sites() []*Site { return t.sites }
