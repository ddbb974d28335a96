package netguard

import (
	"net/netip"
	"strings"
	"testing"
)

func TestProhibited(t *testing.T) {
	tests := []struct {
		addr   string
		reason string // "" is permitted
	}{
		{addr: "0.0.0.0", reason: "unspecified"},
		{addr: "0.1.2.3", reason: "this network"},
		{addr: "10.0.0.0", reason: "private"},
		{addr: "10.255.255.255", reason: "private"},
		{addr: "172.15.255.255"},
		{addr: "172.16.0.0", reason: "private"},
		{addr: "172.31.255.255", reason: "private"},
		{addr: "172.32.0.0"},
		{addr: "192.168.1.1", reason: "private"},
		{addr: "100.63.255.255"},
		{addr: "100.64.0.0", reason: "NAT"},
		{addr: "100.127.255.255", reason: "NAT"},
		{addr: "100.128.0.0"},
		{addr: "127.0.0.1", reason: "loopback"},
		{addr: "127.255.255.254", reason: "loopback"},
		{addr: "169.254.169.254", reason: "metadata"},
		{addr: "169.254.1.1", reason: "link-local"},
		{addr: "192.0.0.8", reason: "IETF"},
		{addr: "192.0.2.1", reason: "documentation"},
		{addr: "198.51.100.1", reason: "documentation"},
		{addr: "203.0.113.1", reason: "documentation"},
		{addr: "198.19.255.255", reason: "benchmarking"},
		{addr: "224.0.0.1", reason: "multicast"},
		{addr: "239.255.255.255", reason: "multicast"},
		{addr: "240.0.0.1", reason: "reserved"},
		{addr: "255.255.255.255", reason: "broadcast"},
		{addr: "1.1.1.1"},
		{addr: "93.184.216.34"},

		{addr: "::", reason: "unspecified"},
		{addr: "::1", reason: "loopback"},
		{addr: "::7f00:1", reason: "IPv4-compatible"},
		{addr: "::ffff:127.0.0.1", reason: "IPv4-mapped"},
		{addr: "::ffff:1.1.1.1", reason: "IPv4-mapped"},
		{addr: "64:ff9b::7f00:1", reason: "NAT64"},
		{addr: "64:ff9b:1::a00:1", reason: "NAT64"},
		{addr: "100::1", reason: "discard"},
		{addr: "2001::1", reason: "Teredo"},
		{addr: "2001:10::1", reason: "IETF"},
		{addr: "2001:db8::1", reason: "documentation"},
		{addr: "2002:7f00:1::", reason: "6to4"},
		{addr: "3fff::1", reason: "documentation"},
		{addr: "fc00::1", reason: "unique local"},
		{addr: "fdff::1", reason: "unique local"},
		{addr: "fe80::1", reason: "link-local"},
		{addr: "fe80::1%eth0", reason: "link-local"},
		{addr: "fec0::1", reason: "site-local"},
		{addr: "ff02::1", reason: "multicast"},
		{addr: "4000::1", reason: "not global"},
		{addr: "5f00::1", reason: "not global"},
		{addr: "2606:4700:4700::1111"},
		{addr: "2a00:1450::1"},
	}
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			reason, bad := Prohibited(netip.MustParseAddr(tt.addr), nil)
			if bad != (tt.reason != "") || !strings.Contains(reason, tt.reason) {
				t.Errorf("Prohibited = %q, %v; want %q", reason, bad, tt.reason)
			}
		})
	}
	if _, bad := Prohibited(netip.Addr{}, nil); !bad {
		t.Error("the zero address is permitted")
	}
}

func TestAllow(t *testing.T) {
	allow := []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("10.1.0.0/16"),
		netip.MustParsePrefix("fe80::/10"),
		netip.MustParsePrefix("::/0"),
	}
	for addr, want := range map[string]bool{
		"127.0.0.1":        false,
		"10.1.2.3":         false,
		"10.2.0.1":         true,
		"fe80::1%eth0":     false,
		"::1":              false,
		"::ffff:127.0.0.1": true, // not even ::/0 lets a second spelling in
	} {
		if _, bad := Prohibited(netip.MustParseAddr(addr), allow); bad != want {
			t.Errorf("Prohibited(%s) = %v, want %v", addr, bad, want)
		}
	}
}

func TestHostForms(t *testing.T) {
	tests := []struct {
		host                string
		loopback, disguised bool
	}{
		{host: "localhost", loopback: true},
		{host: "localhost.", loopback: true},
		{host: "a.b.localhost", loopback: true},
		{host: "notlocalhost"},
		{host: "localhost.example"},
		{host: "127.1", disguised: true},
		{host: "0x7f.1", disguised: true},
		{host: "0x7f000001", disguised: true},
		{host: "2130706433", disguised: true},
		{host: "0177.0.0.1", disguised: true},
		{host: "127.0.0.1."}, // an address with a trailing dot is one
		{host: "127.0.0.0x1", disguised: true},
		{host: "1.2.3.4.5", disguised: true},
		{host: "256.1.1.1", disguised: true},
		{host: "0x", disguised: true},
		{host: "127.0.0.1"},
		{host: "::1"},
		{host: "example.com"},
		{host: "1.example"},
		{host: "a.1b"},
		{host: "0xfoo.0xzz"},
		{host: ""},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			if got := Loopback(tt.host); got != tt.loopback {
				t.Errorf("Loopback = %v, want %v", got, tt.loopback)
			}
			if got := Disguised(tt.host); got != tt.disguised {
				t.Errorf("Disguised = %v, want %v", got, tt.disguised)
			}
		})
	}
}
