package bgp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// valid returns a configuration without a fault.
func valid() Config {
	return Config{
		ASN:      65001,
		RouterID: addr("10.0.0.11"),
		VIPs:     []netip.Prefix{prefix("198.51.100.10/32"), prefix("2001:db8:10::/48")},
		Attrs:    Attrs{MED: new(uint32(10)), Communities: []Community{64500<<16 | 20}},
		Peers: []PeerConfig{
			{Address: addr("10.0.0.1"), ASN: 64500, Password: "s3cret", HoldTime: 3 * time.Second},
			{Address: addr("fd00::1"), ASN: 4200000001, Passive: true},
		},
		Listen: []netip.Addr{addr("fd00::11")},
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   []string // in the error; none: no error
	}{
		{name: "valid", change: func(*Config) {}},
		{name: "default hold time", change: func(c *Config) { c.Peers[0].HoldTime = 0 }},
		{name: "network", change: func(c *Config) { c.VIPs[0] = prefix("198.51.100.0/24") }},
		{name: "multihop", change: func(c *Config) { c.Peers[0].Multihop = 255 }},
		{name: "empty", change: func(c *Config) { *c = Config{} }, want: []string{"asn: missing", "router_id: missing", "vips: missing"}},
		{name: "AS_TRANS", change: func(c *Config) { c.ASN = 23456 }, want: []string{"asn: 23456 stands in"}},
		{name: "last 16-bit ASN", change: func(c *Config) { c.ASN = 65535 }, want: []string{"asn: 65535 is reserved"}},
		{name: "last 32-bit ASN", change: func(c *Config) { c.Peers[1].ASN = 4294967295 }, want: []string{"peers[1]: asn: 4294967295 is reserved"}},
		{name: "peer without ASN", change: func(c *Config) { c.Peers[0].ASN = 0 }, want: []string{"peers[0]: asn: missing"}},
		{name: "internal session", change: func(c *Config) { c.Peers[0].ASN = 65001 }},
		{name: "IPv6 router id", change: func(c *Config) { c.RouterID = addr("::1") }, want: []string{"router_id: ::1"}},
		{name: "zero router id", change: func(c *Config) { c.RouterID = addr("0.0.0.0") }, want: []string{"router_id: 0.0.0.0"}},
		{name: "no peers", change: func(c *Config) { c.Peers = nil }, want: []string{"peers: missing", "vips[0]: 198.51.100.10/32 has no IPv4 peer"}},
		{name: "too many VIPs", change: func(c *Config) { c.VIPs = make([]netip.Prefix, MaxVIPs+1) }, want: []string{"vips: 129, at most 128"}},
		{name: "invalid VIP", change: func(c *Config) { c.VIPs[0] = netip.Prefix{} }, want: []string{"vips[0]: not a prefix"}},
		{
			name: "host bits", change: func(c *Config) { c.VIPs[0] = prefix("198.51.100.10/24") },
			want: []string{"vips[0]: 198.51.100.10/24 is neither a host route nor a network", "198.51.100.0/24 or 198.51.100.10/32"},
		},
		{name: "default route", change: func(c *Config) { c.VIPs[1] = prefix("::/0") }, want: []string{"vips[1]: ::/0 is the default route"}},
		{name: "multicast VIP", change: func(c *Config) { c.VIPs[0] = prefix("224.0.0.0/8") }, want: []string{"vips[0]: 224.0.0.0/8 is not unicast"}},
		{name: "loopback VIP", change: func(c *Config) { c.VIPs[1] = prefix("::1/128") }, want: []string{"vips[1]: ::1/128 is not unicast"}},
		{name: "mapped VIP", change: func(c *Config) { c.VIPs[1] = prefix("::ffff:192.0.2.1/128") }, want: []string{"vips[1]: ::ffff:192.0.2.1/128 is an IPv4 prefix in IPv6 form"}},
		{name: "twice the same VIP", change: func(c *Config) { c.VIPs[1] = c.VIPs[0] }, want: []string{"vips[1]: 198.51.100.10/32 is vips[0] again"}},
		{name: "IPv6 VIP without IPv6 peer", change: func(c *Config) { c.Peers = c.Peers[:1] }, want: []string{"vips[1]: 2001:db8:10::/48 has no IPv6 peer"}},
		{name: "twice the same peer", change: func(c *Config) { c.Peers[1].Address = c.Peers[0].Address }, want: []string{"peers[1]: 10.0.0.1 is peers[0] again"}},
		{name: "no address", change: func(c *Config) { c.Peers[0].Address = netip.Addr{} }, want: []string{"peers[0]: address: missing"}},
		{name: "link-local peer", change: func(c *Config) { c.Peers[1].Address = addr("fe80::1%eth0") }, want: []string{"peers[1]: address: fe80::1%eth0 is link-local"}},
		{name: "multicast peer", change: func(c *Config) { c.Peers[0].Address = addr("224.0.0.5") }, want: []string{"peers[0]: address: 224.0.0.5"}},
		{name: "mapped peer", change: func(c *Config) { c.Peers[1].Address = addr("::ffff:10.0.0.1") }, want: []string{"peers[1]: address: ::ffff:10.0.0.1 is IPv4 in IPv6 form"}},
		{name: "long password", change: func(c *Config) { c.Peers[0].Password = strings.Repeat("x", 81) }, want: []string{"peers[0]: password: want at most 80"}},
		{name: "unprintable password", change: func(c *Config) { c.Peers[0].Password = "a\nb" }, want: []string{"peers[0]: password"}},
		{name: "short hold time", change: func(c *Config) { c.Peers[0].HoldTime = 2 * time.Second }, want: []string{"peers[0]: hold_time: 2s"}},
		{name: "broken hold time", change: func(c *Config) { c.Peers[0].HoldTime = 3500 * time.Millisecond }, want: []string{"peers[0]: hold_time: 3.5s"}},
		{name: "too many hops", change: func(c *Config) { c.Peers[0].Multihop = 256 }, want: []string{"peers[0]: multihop: 256"}},
		{name: "passive without listener", change: func(c *Config) { c.Listen = []netip.Addr{addr("10.0.0.11")} }, want: []string{"peers[1]: passive: fd00::1", "IPv6 address"}},
		{name: "listener at every address", change: func(c *Config) { c.Listen = append(c.Listen, addr("0.0.0.0")) }},
		{name: "multicast listener", change: func(c *Config) { c.Listen = append(c.Listen, addr("224.0.0.5")) }, want: []string{"listen[1]: 224.0.0.5"}},
		{name: "twice the same listener", change: func(c *Config) { c.Listen = append(c.Listen, c.Listen[0]) }, want: []string{"listen[1]: fd00::11 is there twice"}},
		{name: "too many communities", change: func(c *Config) { c.Attrs.Communities = make([]Community, MaxCommunities+1) }, want: []string{"communities: 17, at most 16"}},
		{name: "too many large communities", change: func(c *Config) { c.Peers[1].Gshut.Large = make([]LargeCommunity, 17) }, want: []string{"peers[1]: gshut: large_communities: 17, at most 16"}},
		{
			name: "too many communities on a rung",
			change: func(c *Config) {
				for i := range MaxCommunities {
					c.Attrs.Communities = append(c.Attrs.Communities[:i], Community(i))
				}
			},
			want: []string{"198.51.100.10/32 on the rung gshut, all merged: communities: 17"},
		},
		{name: "community of no AS", change: func(c *Config) { c.Attrs.Large = []LargeCommunity{{ReservedAS, 1, 2}} }, want: []string{"large_communities: 4294967295:1:2: 4294967295 is reserved"}},
		{name: "too many prepends", change: func(c *Config) { c.Deprefer, c.Gshut = &Attrs{Prepend: 11}, &Attrs{Prepend: 11} }, want: []string{"deprefer: prepend: 11; want 0 to 10", "gshut: prepend: 11"}},
		{name: "negative prepend", change: func(c *Config) { c.Peers[0].Attrs.Prepend = -1 }, want: []string{"peers[0]: prepend: -1"}},
		{
			name: "attributes of a prefix that is no VIP", change: func(c *Config) { c.Prefixes = map[netip.Prefix]Attrs{prefix("192.0.2.0/24"): {}} },
			want: []string{"prefixes: 192.0.2.0/24 is not one of the VIPs"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := valid()
			tc.change(&c)
			checkError(t, c.Validate(), tc.want)
		})
	}
}

func TestCheckLinks(t *testing.T) {
	local := []netip.Prefix{prefix("127.0.0.1/8"), prefix("10.0.0.11/24"), prefix("fd00::11/64")}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{name: "on link", change: func(*Config) {}},
		{name: "elsewhere", change: func(c *Config) { c.Peers[0].Address = addr("10.0.1.1") }, want: []string{"peers[0]: 10.0.1.1 is on no network"}},
		{name: "elsewhere, and said so", change: func(c *Config) { c.Peers[0].Address, c.Peers[0].Multihop = addr("10.0.1.1"), 2 }},
		{name: "own address", change: func(c *Config) { c.Peers[1].Address = addr("fd00::11") }, want: []string{"peers[1]: fd00::11"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := valid()
			tc.change(&c)
			checkError(t, c.CheckLinks(local), tc.want)
		})
	}
}

func TestCheckDesired(t *testing.T) {
	c := valid()
	if err := c.CheckDesired(Desired{Announce: c.Announcement(Normal, Attrs{})}); err != nil {
		t.Errorf("the VIPs themselves: %v", err)
	}
	checkError(t, c.CheckDesired(Desired{Announce: map[netip.Prefix]Attrs{prefix("192.0.2.0/24"): {}}}),
		[]string{"192.0.2.0/24 is not one of the node's VIPs"})
}

func TestCommunityText(t *testing.T) {
	for _, tc := range []struct {
		text string
		want Community
		ok   bool
	}{
		{text: "65535:0", want: 0xffff0000, ok: true},
		{text: "64500:20", want: 64500<<16 | 20, ok: true},
		{text: "65536:0"},
		{text: "1:-1"},
		{text: "1"},
		{text: ""},
		{text: "1:2:3"},
	} {
		got, err := ParseCommunity(tc.text)
		if got != tc.want || (err == nil) != tc.ok {
			t.Errorf("%q: %v, %v; want %v", tc.text, got, err, tc.want)
		}
		if tc.ok && got.String() != tc.text {
			t.Errorf("%q comes back as %q", tc.text, got)
		}
	}
}

func TestLargeCommunityText(t *testing.T) {
	for _, tc := range []struct {
		text string
		want LargeCommunity
		ok   bool
	}{
		{text: "64500:1:20", want: LargeCommunity{64500, 1, 20}, ok: true},
		{text: "4294967295:0:4294967295", want: LargeCommunity{4294967295, 0, 4294967295}, ok: true},
		{text: "4294967296:0:0"},
		{text: "64500:20"},
		{text: "1:2:3:4"},
		{text: "a:b:c"},
	} {
		got, err := ParseLargeCommunity(tc.text)
		if got != tc.want || (err == nil) != tc.ok {
			t.Errorf("%q: %v, %v; want %v", tc.text, got, err, tc.want)
		}
		if tc.ok && got.String() != tc.text {
			t.Errorf("%q comes back as %q", tc.text, got)
		}
	}
}

// checkError wants each text in err, and no error when there is none.
func checkError(t *testing.T, err error, want []string) {
	t.Helper()
	if len(want) == 0 {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if err == nil {
		t.Fatalf("accepted, want %q", want)
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}
