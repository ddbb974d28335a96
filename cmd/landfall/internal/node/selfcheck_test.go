package node

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/configs"
)

func vipNode(listen []string, vips ...string) *Node {
	conf := &configs.Node{BGP: &configs.BGP{}}
	for _, l := range listen {
		conf.Listen.HTTPS = append(conf.Listen.HTTPS, netip.MustParseAddrPort(l))
	}
	for _, v := range vips {
		conf.BGP.VIPs = append(conf.BGP.VIPs, netip.MustParsePrefix(v))
	}
	return &Node{conf: conf}
}

// TestServedVIPs: a client would come in at each once.
func TestServedVIPs(t *testing.T) {
	for _, tc := range []struct {
		name   string
		listen []string
		vips   []string
		want   string
	}{
		{"by name", []string{"198.51.100.10:443"}, []string{"198.51.100.10/32"}, "198.51.100.10:443"},
		{"by network and name", []string{"198.51.100.10:443"}, []string{"198.51.100.0/24", "198.51.100.10/32"}, "198.51.100.10:443"},
		{"any address of IPv4", []string{"0.0.0.0:443"}, []string{"198.51.100.10/32", "2001:db8::1/128"}, "198.51.100.10:443"},
		{"any address", []string{"[::]:443"}, []string{"198.51.100.10/32", "2001:db8::1/128"}, "198.51.100.10:443 [2001:db8::1]:443"},
		{"a network, and no address of it", []string{"0.0.0.0:443"}, []string{"198.51.100.0/24"}, ""},
		{"somewhere else", []string{"127.0.0.1:443"}, []string{"198.51.100.10/32"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, at := range vipNode(tc.listen, tc.vips...).servedVIPs() {
				got = append(got, at.String())
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("%v, want %s", got, tc.want)
			}
		})
	}
}

func TestAddressesAreBound(t *testing.T) {
	n := vipNode(nil, "198.51.100.10/32", "2001:db8::1/128", "192.0.2.0/24")
	on := func(addrs ...string) func() ([]net.Addr, error) {
		return func() (out []net.Addr, err error) {
			for _, a := range addrs {
				ip, ipNet, err := net.ParseCIDR(a)
				if err != nil {
					return nil, err
				}
				out = append(out, &net.IPNet{IP: ip, Mask: ipNet.Mask})
			}
			return out, nil
		}
	}
	if err := n.checkBound(on("127.0.0.1/8", "198.51.100.10/32", "2001:db8::1/128")); err != nil {
		t.Error(err)
	}
	if err := n.checkBound(on("127.0.0.1/8", "198.51.100.10/32")); err == nil || !strings.Contains(err.Error(), ": 2001:db8::1;") {
		t.Errorf("without the second one: %v", err)
	}
}

// TestAlertIsAnAnswer: a site that wants a client's certificate serves.
func TestAlertIsAnAnswer(t *testing.T) {
	for _, tc := range []struct {
		err  error
		good bool
	}{
		{&net.OpError{Op: "remote error", Err: tls.AlertError(116)}, true},
		{&net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}, false},
		{errors.New("first record does not look like a TLS handshake"), false},
	} {
		if got := refusedPolitely(tc.err) == nil; got != tc.good {
			t.Errorf("%v: good %v", tc.err, got)
		}
	}
}
