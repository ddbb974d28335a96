package inet

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// The ports that a node listens at, and the origin's.
const (
	relayPort  = 7443
	gossipPort = 7946
	adminPort  = 9080
	OriginPort = 8080
)

// Admin is where each node has its admin address, in its own namespace.
const Admin = "127.0.0.1:9080"

// nodeFile is the node file of a node, as an operator would write it. The
// folder has everything that all nodes share.
func nodeFile(p *Plan, n *Node, routers, dir string) string {
	var join, siblings []string
	for i := range p.Nodes {
		other := &p.Nodes[i]
		if other.Pop == n.Pop {
			join = append(join, fmt.Sprintf("%q", fmt.Sprintf("%s:%d", other.Address(V4), gossipPort)))
		} else {
			siblings = append(siblings, fmt.Sprintf("{ id: %d, pop: %s, peer: \"%s:%d\" }", other.ID, other.Pop, other.Address(V4), relayPort))
		}
	}
	peer := "{ address: %q, asn: %d, hold_time: %ds, bfd: { tx: 100ms, multiplier: 3 } }"
	if routers == FRR { // which has one or the other
		peer = strings.Replace(peer, "bfd:", "ttl_security: false, bfd:", 1)
	}
	return fmt.Sprintf(`# Written by landfall lab up.
node:    { id: %d, name: %s, pop: %s }
listen:
  https: [%s]
  http:  [%s]
  peer:  "%s:%d"
admin:   { listen: %q }
sites:   { dir: %q }
state:   ./state
cache:   { memory: 32MiB }
origins: { allow: [%q, %q] }
acme:    { directory: "https://%s:14000/dir" }
pop:
  listen: "%s:%d"
  join: [%s]
  secret: { file: %q }
  siblings: [%s]
bgp:
  asn: %d
  router_id: %s
  vips: [%q, "%s/32", %q, "%s/128"]
  peers:
    - %s
    - %s
log:     { level: info, access: ./access.log }
drain:   { timeout: 5s }
limits:  { conns_per_client: 100000 }
`, n.ID, n.Name, n.Pop,
		listen(n, 443), listen(n, 80), n.Address(V4), relayPort,
		Admin, filepath.Join(dir, "sites"),
		p.Router("o").LAN4.Masked(), p.Router("o").LAN6.Masked(), p.origin(V4),
		n.Address(V4), gossipPort, strings.Join(join, ", "), filepath.Join(dir, "pop.key"), strings.Join(siblings, ", "),
		n.ASN, n.Address(V4), Prefix4, VIP4, Prefix6, VIP6,
		fmt.Sprintf(peer, n.Gateway4, CDN, holdTime), fmt.Sprintf(peer, n.Gateway6, CDN, holdTime))
}

// listen are a node's addresses for clients: the anycast ones, and its own
// for whoever wants this node.
func listen(n *Node, port int) string {
	return fmt.Sprintf(`"%[1]s:%[5]d", "[%[2]s]:%[5]d", "%[3]s:%[5]d", "[%[4]s]:%[5]d"`, VIP4, VIP6, n.Address(V4), n.Address(V6), port)
}

// sites are the site documents by file name. The second needs a CA for its
// certificate and a name server for its origin, which the lab has not: no
// announcement may depend on those.
func sites(p *Plan) map[string]string {
	return map[string]string{
		"www.yaml": fmt.Sprintf(`# Written by landfall lab up. Edit it while the lab runs: changes take effect at once.
hostnames: [%s]
http: serve
tls: { cert: internal }
origins: ["http://%s:%d"]
cache: { stale_while_revalidate: 10s, stale_if_error: 1h }
`, Host, p.origin(V4), OriginPort),
		"auto.yaml": fmt.Sprintf(`# Written by landfall lab up.
hostnames: [%s]
tls: { cert: auto }
origins: ["http://origin.lab.example:%s"]
`, HostAuto, strconv.Itoa(OriginPort)),
	}
}
