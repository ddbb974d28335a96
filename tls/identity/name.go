package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// scheme is that of the URI that names a node in its certificate:
// landfall://POP/node/ID.
const scheme = "landfall"

// maxPop bounds the name of a PoP in bytes, as that of a DNS label.
const maxPop = 63

// URI returns the name that a node's certificate must carry, as one of its
// subject alternative names (RFC 5280, 4.2.1.6).
func (p Peer) URI() string {
	return scheme + "://" + p.Pop + p.path()
}

func (p Peer) path() string { return "/node/" + strconv.Itoa(int(p.ID)) }

// String returns the URI.
func (p Peer) String() string { return p.URI() }

func (p Peer) validate() error {
	if p.ID == 0 {
		return errors.New("node id 0 is not a node: use 1 to 255")
	}
	if !validPop(p.Pop) {
		return fmt.Errorf("PoP name %q cannot stand in a certificate: use up to %d letters, digits, '.', '_' and '-'", p.Pop, maxPop)
	}
	return nil
}

func validPop(name string) bool {
	return name != "" && len(name) <= maxPop && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	})
}

// PeerOf returns which node the other end of a connection is. It is for
// connections made with Server or Client, which have verified the chain.
func PeerOf(cs tls.ConnectionState) (Peer, error) {
	if len(cs.PeerCertificates) == 0 {
		return Peer{}, errors.New("the peer showed no certificate")
	}
	return named(cs.PeerCertificates[0])
}

// PeerID returns the id of the node at the other end; see PeerOf.
func PeerID(cs tls.ConnectionState) (uint8, error) {
	p, err := PeerOf(cs)
	return p.ID, err
}

// named returns the one node that a certificate names.
func named(c *x509.Certificate) (Peer, error) {
	var found []Peer
	for _, u := range c.URIs {
		if u.Scheme != scheme {
			continue
		}
		p, err := parse(u)
		if err != nil {
			return Peer{}, err
		}
		found = append(found, p)
	}
	if len(found) != 1 {
		return Peer{}, fmt.Errorf("the certificate names %d nodes: it needs one URI %s://POP/node/ID", len(found), scheme)
	}
	return found[0], nil
}

// parse reads a node's URI. Only the form that URI gives is accepted, so
// that no two spellings are one node.
func parse(u *url.URL) (Peer, error) {
	digits, ok := strings.CutPrefix(u.Path, "/node/")
	id, err := strconv.ParseUint(digits, 10, 8)
	p := Peer{Pop: u.Host, ID: uint8(id)}
	if !ok || err != nil || p.validate() != nil || u.String() != p.URI() {
		return Peer{}, fmt.Errorf("%q names no node: want %s://POP/node/ID", u, scheme)
	}
	return p, nil
}
