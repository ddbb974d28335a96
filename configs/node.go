package configs

import (
	"net/netip"
	"net/url"
	"time"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// Node is the node file: what one operator says about one node. The
// paths in it are resolved against the file's folder.
type Node struct {
	Node      Identity      `yaml:"node" required:"true" doc:"who this node is"`
	Listen    Listen        `yaml:"listen" required:"true" doc:"where clients and peers connect; at least one of https and http"`
	TLS       NodeTLS       `yaml:"tls" doc:"the node's side of handshakes; certificates are the sites'"`
	Admin     Admin         `yaml:"admin" doc:"the operator's side; never on a VIP"`
	Sites     Sites         `yaml:"sites" doc:"where sites come from when there is no control plane"`
	Control   *Control      `yaml:"control" inforce:"none" doc:"the control plane that sites come from"`
	State     string        `yaml:"state" format:"file" default:"./state" doc:"folder for what must outlive the process: certificates and the last good site documents"`
	Cache     NodeCache     `yaml:"cache" doc:"what this node may keep"`
	Origins   NodeOrigins   `yaml:"origins" doc:"what sites may fetch from"`
	ACME      ACME          `yaml:"acme" doc:"where certificates of sites with tls.cert auto come from"`
	Pop       *Pop          `yaml:"pop" doc:"the other nodes of the PoP; needs listen.peer. Without it the PoP has one node"`
	BGP       *BGP          `yaml:"bgp" doc:"announcing the VIPs; without it nothing is announced"`
	Steer     Steer         `yaml:"steer" doc:"bringing packets to the node that owns their connection"`
	Log       Log           `yaml:"log" doc:"what is written where"`
	Drain     Drain         `yaml:"drain" doc:"how a node goes"`
	Limits    limits.Limits `yaml:"limits" doc:"what a client, a request or a response may use"`
	Forwarded bool          `yaml:"forwarded" default:"false" doc:"send origins Forwarded (RFC 7239) beside X-Forwarded-For"`

	source
}

// Identity names the node.
type Identity struct {
	ID   uint8  `yaml:"id" required:"true" min:"1" max:"255" doc:"number of the node, unique in the fleet"`
	Name string `yaml:"name" format:"name" doc:"name of the node in logs, and in Via and CDN-Loop towards origins; node-ID unless given"`
	Pop  string `yaml:"pop" format:"name" default:"local" doc:"name of the PoP that the node stands in"`
}

// Listen are the addresses of the data plane.
type Listen struct {
	HTTPS []netip.AddrPort `yaml:"https" items:"16" doc:"TCP (HTTP/1.1, HTTP/2) and UDP (HTTP/3) on the same addresses"`
	HTTP  []netip.AddrPort `yaml:"http" items:"16" doc:"plain HTTP; redirects to https unless the site says http: serve"`
	Peer  netip.AddrPort   `yaml:"peer" doc:"relay between nodes, mutual TLS over TCP: an address of this node that the others can reach; needs pop"`
}

// NodeTLS is what handshakes of all sites have in common.
type NodeTLS struct {
	ECH *ECH `yaml:"ech" doc:"Encrypted Client Hello (RFC 9849); without it there is none"`
}

// ECH hides the name of the site that a client asks for.
type ECH struct {
	PublicName string `yaml:"public_name" format:"hostname" required:"true" doc:"name that clients show in place of the site's; a site of the node should have it, for clients whose keys are outdated"`
}

// Admin is the operator's listener.
type Admin struct {
	Listen netip.AddrPort `yaml:"listen" default:"127.0.0.1:9080" doc:"health, metrics, profiles and the operator's API"`
}

// Sites is file mode: every file of a folder is a site.
type Sites struct {
	Dir string `yaml:"dir" format:"file" default:"./sites" doc:"folder of site documents, *.yaml and *.yml, read again when they change; required beside control"`
}

// Control is the control plane to follow.
type Control struct {
	URL *url.URL `yaml:"url" schemes:"nats tls" required:"true" doc:"address of the store, nats://host:4222"`
}

// NodeCache bounds the cache's tiers.
type NodeCache struct {
	Memory int64 `yaml:"memory" unit:"bytes" default:"256MiB" min:"1MiB" doc:"responses kept in memory"`
	Disk   *Disk `yaml:"disk" inforce:"none" doc:"responses kept on disk"`
}

// Disk is the cache's second tier.
type Disk struct {
	Path string `yaml:"path" format:"file" required:"true" doc:"folder for stored responses"`
	Size int64  `yaml:"size" unit:"bytes" required:"true" min:"16MiB" doc:"bytes that the folder may use"`
}

// NodeOrigins says which addresses origins may have.
type NodeOrigins struct {
	Allow []netip.Prefix `yaml:"allow" items:"256" doc:"ranges that origins may live in although they are private, loopback or otherwise not public"`
}

// ACME is the certificate authority of automatic certificates.
type ACME struct {
	Directory *url.URL `yaml:"directory" schemes:"https" default:"https://acme-v02.api.letsencrypt.org/directory" doc:"the authority's directory (RFC 8555, 7.1.1)"`
	CARoot    string   `yaml:"ca_root" format:"file" doc:"PEM file that the directory's own certificate is verified with; the system's roots unless given"`
	Email     string   `yaml:"email" format:"email" doc:"where the authority may write to"`
	EAB       *EAB     `yaml:"eab" doc:"external account binding (RFC 8555, 7.3.4)"`
}

// EAB ties the ACME account to an account at the authority.
type EAB struct {
	KeyID  string `yaml:"key_id" format:"text" required:"true" doc:"key identifier that the authority gave out"`
	MACKey Secret `yaml:"mac_key" required:"true" doc:"key that the authority gave out, base64url"`
}

// Secret is a secret by reference: it never stands in a document.
type Secret struct {
	File string `yaml:"file" format:"file" required:"true" doc:"file whose content is the secret; a final line break is not part of it"`
}

// Pop is how the nodes of a PoP find and trust one another.
type Pop struct {
	Listen   netip.AddrPort `yaml:"listen" required:"true" doc:"gossip, TCP and UDP: an address of this node that the others can reach"`
	Join     []string       `yaml:"join" items:"64" format:"hostport" doc:"gossip addresses of other nodes to find the rest by, host:port; all addresses of a name are tried, and a node's own does no harm"`
	Secret   Secret         `yaml:"secret" required:"true" doc:"secret of at least 32 bytes, the same on all nodes: gossip, the relay's certificates and the keys that nodes share come from it"`
	Weight   int            `yaml:"weight" default:"1" min:"1" max:"16" doc:"share of the keys and sessions, relative to the other nodes"`
	TLS      *PopTLS        `yaml:"tls" doc:"the relay's certificates, when an authority of yours gives them out"`
	Siblings []Sibling      `yaml:"siblings" items:"254" doc:"nodes of other PoPs of the fleet, for sites with affinity.scope fleet"`
}

// PopTLS are the relay's certificates.
type PopTLS struct {
	CA          string `yaml:"ca" format:"file" required:"true" doc:"PEM file with the authorities that other nodes' certificates are verified with"`
	Certificate string `yaml:"certificate" format:"file" required:"true" doc:"PEM file, the leaf first, then its chain; the leaf has the URI landfall://POP/node/ID"`
	Key         string `yaml:"key" format:"file" required:"true" doc:"PEM file with the leaf's private key"`
}

// Sibling is a node of another PoP.
type Sibling struct {
	ID   uint8          `yaml:"id" required:"true" min:"1" max:"255" doc:"the node's number"`
	Pop  string         `yaml:"pop" format:"name" required:"true" doc:"name of its PoP"`
	Peer netip.AddrPort `yaml:"peer" required:"true" doc:"its listen.peer, by unicast"`
}

// Modes of Steer.
const (
	SteerAuto    = "auto"
	SteerXDP     = "xdp"
	SteerGeneric = "generic"
	SteerOff     = "off"
)

// Steer is packet steering with eBPF.
type Steer struct {
	Mode      string `yaml:"mode" enum:"auto xdp generic off" inforce:"auto off" default:"auto" doc:"auto takes the best that kernel and card offer; xdp and generic insist on one; off hands packets to the kernel as they come"`
	Interface string `yaml:"interface" format:"interface" doc:"network interface that clients' packets arrive on; required by xdp and generic"`
}

// Log is the node's log and the access record of requests.
type Log struct {
	Level  string `yaml:"level" enum:"debug info warn error" default:"info" doc:"least level that is logged"`
	Access string `yaml:"access" format:"output" default:"-" doc:"file for one JSON line per request; - is standard output"`
}

// Drain is an orderly stop.
type Drain struct {
	Timeout time.Duration `yaml:"timeout" default:"30s" max:"24h" doc:"how long requests in flight may take to finish after SIGTERM"`
}
