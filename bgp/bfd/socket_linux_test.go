package bfd

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// loopback returns a receiver on a free port of the loopback, and a sender
// from each of the addresses to it.
func loopback(t *testing.T, from []string, peers ...string) (*udpReceiver, []*udpSender) {
	t.Helper()
	addrs := func(in []string) (out []netip.Addr) {
		for _, a := range in {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	at := netip.MustParseAddr("127.0.0.1")
	if addrs(peers)[0].Is6() {
		at = netip.IPv6Loopback()
	}
	r, err := openReceiver(path{at, "lo"}, 0, addrs(peers))
	must(t, err)
	t.Cleanup(func() { must(t, r.close()) })
	port := r.conn.LocalAddr().(*net.UDPAddr).Port
	var senders []*udpSender
	used := map[int]bool{}
	for _, local := range addrs(from) {
		s, err := openSender(path{local, "lo"}, at, used)
		must(t, err)
		t.Cleanup(func() { must(t, s.close()) })
		switch to := s.to.(type) {
		case *unix.SockaddrInet4:
			to.Port = port
		case *unix.SockaddrInet6:
			to.Port = port
		}
		senders = append(senders, s)
	}
	if len(used) != len(senders) {
		t.Errorf("%d ports for %d senders", len(used), len(senders))
	}
	return r, senders
}

func TestSocketsTakePeersOnly(t *testing.T) {
	r, senders := loopback(t, []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}, "127.0.0.2", "127.0.0.4")
	for i, s := range senders {
		must(t, s.send([]byte{byte(i)}))
	}
	var buffer [bufferSize]byte
	for _, want := range []struct {
		b    byte
		from string
	}{{0, "127.0.0.2"}, {2, "127.0.0.4"}} {
		must(t, r.wait())
		n, from, err := r.read(buffer[:])
		if err != nil || n != 1 || buffer[0] != want.b || from.String() != want.from {
			t.Errorf("%d bytes %v from %v, %v; want %+v", n, buffer[0], from, err, want)
		}
	}
	if _, _, err := r.read(buffer[:]); !errors.Is(err, errEmpty) {
		t.Errorf("%v, want nothing more", err)
	}
	if n := r.drops(); n != 1 {
		t.Errorf("%d drops, want the stranger's packet", n)
	}
}

func TestSocketsDropWhatWasForwarded(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		t.Run(address, func(t *testing.T) {
			r, senders := loopback(t, []string{address}, address)
			raw, err := senders[0].conn.SyscallConn()
			must(t, err)
			setTTL := func(n int) {
				must(t, raw.Control(func(fd uintptr) {
					if address == "::1" {
						err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, n)
					} else {
						err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, n)
					}
				}))
				must(t, err)
			}
			for _, n := range []int{254, 64, 1, 255} {
				setTTL(n)
				must(t, senders[0].send([]byte{byte(n)}))
			}
			var buffer [bufferSize]byte
			must(t, r.wait())
			n, from, err := r.read(buffer[:])
			if err != nil || n != 1 || buffer[0] != 255 || from.String() != address {
				t.Errorf("%d bytes, TTL %d, from %v, %v", n, buffer[0], from, err)
			}
			if _, _, err := r.read(buffer[:]); !errors.Is(err, errEmpty) || r.drops() != 3 {
				t.Errorf("%v, %d drops", err, r.drops())
			}
		})
	}
}

func TestSocketsAllocateNothing(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		r, senders := loopback(t, []string{address}, address)
		var buffer [bufferSize]byte
		out := packet{state: Up, mine: 1, yours: 2, multiplier: 3}.appendTo(nil)
		n := testing.AllocsPerRun(200, func() {
			must(t, senders[0].send(out))
			must(t, r.wait())
			if n, from, err := r.read(buffer[:]); n != packetSize || err != nil || !from.IsValid() {
				t.Fatalf("%d bytes from %v, %v", n, from, err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations to send a packet and receive it", address, n)
		}
	}
}

func TestAClosedReceiverEndsTheWait(t *testing.T) {
	r, err := openReceiver(path{netip.MustParseAddr("127.0.0.1"), "lo"}, 0, []netip.Addr{addrB})
	must(t, err)
	ended := make(chan error)
	go func() { ended <- r.wait() }()
	must(t, r.close())
	if err := <-ended; err == nil {
		t.Error("wait returned without a packet")
	}
	if _, _, err := r.read(make([]byte, 1)); err == nil || errors.Is(err, errEmpty) {
		t.Errorf("read of a closed receiver: %v", err)
	}
}

func TestAPortThatIsTakenSaysSo(t *testing.T) {
	p := path{netip.MustParseAddr("127.0.0.1"), "lo"}
	r, err := openReceiver(p, 0, []netip.Addr{addrB})
	must(t, err)
	defer r.close()
	_, err = openReceiver(p, r.conn.LocalAddr().(*net.UDPAddr).Port, []netip.Addr{addrB})
	if !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("%v, want address in use", err)
	}
}

func TestPathTo(t *testing.T) {
	if p, err := pathTo(netip.MustParseAddr("127.0.0.2")); err != nil || p.link != "lo" || p.local.String() != "127.0.0.1" {
		t.Errorf("%+v, %v", p, err)
	}
	// Reserved (RFC 1112 section 4): on nobody's network.
	if p, err := pathTo(netip.MustParseAddr("240.0.0.1")); err == nil {
		t.Errorf("%+v for an address on no network", p)
	}
}

// TestFilter runs the program over IP headers, with many peers, as its
// jumps depend on their number.
func TestFilter(t *testing.T) {
	for _, family := range []string{"10.0.0.0", "2001:db8::"} {
		var peers []netip.Addr
		base := netip.MustParseAddr(family).AsSlice()
		at := func(n int) netip.Addr {
			binary.BigEndian.PutUint16(base[len(base)-2:], uint16(n))
			a, _ := netip.AddrFromSlice(base)
			return a
		}
		for n := range MaxPeers {
			peers = append(peers, at(100+n))
		}
		program := filter(peers)
		for i, in := range program {
			if load, ok := in.(bpf.LoadAbsolute); ok {
				load.Off -= networkHeader
				program[i] = load
			}
		}
		vm, err := bpf.NewVM(program)
		must(t, err)
		header := func(from netip.Addr, ttl byte) []byte {
			b := make([]byte, 64)
			if from.Is4() {
				b[8] = ttl
				copy(b[12:], from.AsSlice())
			} else {
				b[7] = ttl
				copy(b[8:], from.AsSlice())
			}
			return b
		}
		for n := 90; n < 130; n++ {
			for _, ttl := range []byte{255, 254, 0} {
				got, err := vm.Run(header(at(n), ttl))
				want := n >= 100 && n < 100+MaxPeers && ttl == 255
				if err != nil || (got > 0) != want {
					t.Errorf("%v with TTL %d: %d, %v, want it kept: %v", at(n), ttl, got, err, want)
				}
			}
		}
		if other := at(100).AsSlice(); other != nil {
			other[0]++ // the first word differs, the last does not
			a, _ := netip.AddrFromSlice(other)
			if got, _ := vm.Run(header(a, 255)); got != 0 {
				t.Errorf("%v was kept", a)
			}
		}
	}
}
