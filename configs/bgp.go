package configs

import (
	"net/netip"
	"time"
)

// BGP is what is announced, and to whom.
type BGP struct {
	ASN              uint32         `yaml:"asn" required:"true" min:"1" max:"4294967294" doc:"own autonomous system"`
	RouterID         netip.Addr     `yaml:"router_id" format:"ipv4" required:"true" doc:"BGP identifier, an IPv4 address"`
	VIPs             []netip.Prefix `yaml:"vips" required:"true" items:"128" doc:"addresses announced; every node of the fleet announces the same"`
	MED              *uint32        `yaml:"med" min:"0" max:"4294967295" doc:"MULTI_EXIT_DISC; none is sent unless given, which most routers read as 0"`
	Prepend          int            `yaml:"prepend" min:"0" max:"10" doc:"how often the own autonomous system stands in the path beside the one time that it must; internal routers do not get it"`
	Communities      []string       `yaml:"communities" items:"16" format:"community" doc:"standard communities (RFC 1997)"`
	LargeCommunities []string       `yaml:"large_communities" items:"16" format:"large_community" doc:"large communities (RFC 8092)"`
	LocalPref        uint32         `yaml:"local_pref" min:"1" max:"4294967295" doc:"LOCAL_PREF; only routers of the own autonomous system get one, and 100 unless given"`
	Prefixes         []BGPPrefix    `yaml:"prefixes" items:"128" doc:"what some of the vips are announced with in addition"`
	Deprefer         *Attributes    `yaml:"deprefer" doc:"what is added on the rung deprefer, where other nodes are to be better; prepend 2 and med_add 100 unless given"`
	Gshut            *Attributes    `yaml:"gshut" doc:"what is added on the rung gshut, beside GRACEFUL_SHUTDOWN (RFC 8326), which always is; that of deprefer unless given"`
	Listen           []netip.Addr   `yaml:"listen" items:"16" doc:"own addresses at which routers may open the session, port 179; required by passive peers"`
	Peers            []Peer         `yaml:"peers" required:"true" items:"16" doc:"routers to announce to"`
}

// BGPPrefix is what one VIP is announced with.
type BGPPrefix struct {
	Prefix           netip.Prefix `yaml:"prefix" required:"true" doc:"one of the vips"`
	MED              *uint32      `yaml:"med" min:"0" max:"4294967295" doc:"MULTI_EXIT_DISC; takes the place of bgp.med"`
	Prepend          int          `yaml:"prepend" min:"0" max:"10" doc:"how often the own autonomous system stands in the path beside the one time that it must; internal routers do not get it"`
	Communities      []string     `yaml:"communities" items:"16" format:"community" doc:"standard communities (RFC 1997)"`
	LargeCommunities []string     `yaml:"large_communities" items:"16" format:"large_community" doc:"large communities (RFC 8092)"`
	LocalPref        uint32       `yaml:"local_pref" min:"1" max:"4294967295" doc:"LOCAL_PREF; takes the place of bgp.local_pref"`
}

// Attributes are what is added on a rung of the ladder.
type Attributes struct {
	MED              *uint32  `yaml:"med" min:"0" max:"4294967295" doc:"MULTI_EXIT_DISC; takes the place of any other"`
	Prepend          int      `yaml:"prepend" min:"0" max:"10" doc:"how often the own autonomous system stands in the path beside the one time that it must; internal routers do not get it"`
	Communities      []string `yaml:"communities" items:"16" format:"community" doc:"standard communities (RFC 1997)"`
	LargeCommunities []string `yaml:"large_communities" items:"16" format:"large_community" doc:"large communities (RFC 8092)"`
	LocalPref        uint32   `yaml:"local_pref" min:"1" max:"4294967295" doc:"LOCAL_PREF; takes the place of any other"`
	MEDAdd           uint32   `yaml:"med_add" max:"4294967295" doc:"what is added to the MULTI_EXIT_DISC; to 0 where none is sent otherwise"`
}

// Peer is one router.
type Peer struct {
	Address          netip.Addr    `yaml:"address" required:"true" doc:"the router's address"`
	ASN              uint32        `yaml:"asn" required:"true" min:"1" max:"4294967294" doc:"the router's autonomous system; with the node's own the session is internal"`
	Password         *Secret       `yaml:"password" doc:"TCP MD5 key (RFC 2385)"`
	BFD              *BFD          `yaml:"bfd" doc:"fast detection of a silent node (RFC 5880); only for a directly connected router"`
	Multihop         int           `yaml:"multihop" min:"1" max:"255" doc:"hops to a router that is not directly connected; unless given, both ends use TTL security (RFC 5082)"`
	TTLSecurity      bool          `yaml:"ttl_security" default:"true" doc:"packets of the session come from a neighbour and nobody else (RFC 5082); the router has to do the same. FRR has BFD with a neighbour only without"`
	Passive          bool          `yaml:"passive" default:"false" doc:"leave opening the session to the router"`
	HoldTime         time.Duration `yaml:"hold_time" default:"9s" min:"3s" max:"65535s" doc:"silence after which a session is given up, whole seconds"`
	AddPath          bool          `yaml:"add_path" default:"false" doc:"offer paths with identifiers (RFC 7911)"`
	MED              *uint32       `yaml:"med" min:"0" max:"4294967295" doc:"MULTI_EXIT_DISC for this router; takes the place of the prefix's"`
	Prepend          int           `yaml:"prepend" min:"0" max:"10" doc:"how often the own autonomous system stands in the path beside the one time that it must; internal routers do not get it"`
	Communities      []string      `yaml:"communities" items:"16" format:"community" doc:"standard communities (RFC 1997)"`
	LargeCommunities []string      `yaml:"large_communities" items:"16" format:"large_community" doc:"large communities (RFC 8092)"`
	LocalPref        uint32        `yaml:"local_pref" min:"1" max:"4294967295" doc:"LOCAL_PREF for this router; takes the place of the prefix's"`
	Deprefer         *Attributes   `yaml:"deprefer" doc:"what this router gets on the rung deprefer in addition, such as a transit's community for a lower preference"`
	Gshut            *Attributes   `yaml:"gshut" doc:"the same for the rung gshut"`
}

// BFD is the timing of a BFD session.
type BFD struct {
	TX         time.Duration `yaml:"tx" default:"100ms" min:"10ms" max:"60s" doc:"interval between packets"`
	Multiplier uint8         `yaml:"multiplier" default:"3" min:"1" max:"255" doc:"packets missed before the peer counts as gone"`
}
