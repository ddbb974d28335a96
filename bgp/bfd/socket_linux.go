package bfd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// port is where control packets go (RFC 5881 section 4).
	port = 3784
	// firstSource and sources are the ports they come from (ibid).
	firstSource = 49152
	sources     = 65536 - firstSource
	// sourceTries is how many of them are tried before giving up.
	sourceTries = 64
	// ttl shows that a packet was not forwarded (RFC 5881 section 5).
	ttl = 255
	// trafficClass is CS6, which networks keep for their own control.
	trafficClass = 0xc0
	// priority has the kernel send a packet before others (SO_PRIORITY).
	priority = 6
)

// path is how a peer is reached: the address that the router knows this
// node by, and the interface that it is on.
type path struct {
	local netip.Addr
	link  string
}

// openWires opens a sender for each peer, and a receiver for each path
// that any of them is reached by.
func openWires(peers []netip.Addr) (_ *wires, err error) {
	w := &wires{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	byPath := map[path][]netip.Addr{}
	var paths []path // in the order of the peers
	used := map[int]bool{}
	for _, peer := range peers {
		p, err := pathTo(peer)
		if err != nil {
			return w, err
		}
		s, err := openSender(p, peer, used)
		if err != nil {
			return w, err
		}
		w.senders = append(w.senders, s)
		if len(byPath[p]) == 0 {
			paths = append(paths, p)
		}
		byPath[p] = append(byPath[p], peer)
	}
	for _, p := range paths {
		r, err := openReceiver(p, port, byPath[p])
		if err != nil {
			return w, err
		}
		w.receivers = append(w.receivers, r)
	}
	return w, nil
}

// pathTo asks the kernel which address it talks to the peer from, as the
// router expects BFD where it has BGP, and finds the interface whose
// network both are in.
func pathTo(peer netip.Addr) (path, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(peer, port)))
	if err != nil {
		return path{}, fmt.Errorf("%s cannot be reached: %w", peer, err)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	if err := conn.Close(); err != nil {
		return path{}, err
	}
	links, err := net.Interfaces()
	if err != nil {
		return path{}, fmt.Errorf("list the interfaces: %w", err)
	}
	for _, link := range links {
		addresses, err := link.Addrs()
		if err != nil {
			return path{}, fmt.Errorf("list the addresses of %s: %w", link.Name, err)
		}
		for _, a := range addresses {
			network, err := netip.ParsePrefix(a.String())
			if err == nil && network.Addr() == local && network.Contains(peer) {
				return path{local, link.Name}, nil
			}
		}
	}
	return path{}, fmt.Errorf("%s is on no network that this machine talks to it from (%s); BFD is for routers next to the node, "+
		"configure an address there or leave BFD out for this one", peer, local)
}

// listen returns a socket at a local address and interface, set up by
// prepare before it is bound, so that nothing gets in earlier.
func listen(p path, local int, prepare func(fd int) error) (*net.UDPConn, error) {
	network := "udp6"
	if p.local.Is4() {
		network = "udp4"
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var setErr error
		err := c.Control(func(fd uintptr) {
			setErr = errors.Join(unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, p.link), prepare(int(fd)))
		})
		return errors.Join(err, setErr)
	}}
	conn, err := config.ListenPacket(context.Background(), network, netip.AddrPortFrom(p.local, uint16(local)).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// udpSender sends from a port of its own.
type udpSender struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	to   unix.Sockaddr

	// Owned by send; transmit is write, made once.
	transmit func(fd uintptr)
	b        []byte
	err      error
}

func openSender(p path, peer netip.Addr, used map[int]bool) (*udpSender, error) {
	var err error
	for range sourceTries {
		source := firstSource + rand.IntN(sources)
		if used[source] {
			continue
		}
		var conn *net.UDPConn
		if conn, err = listen(p, source, sendOptions(peer.Is4())); err != nil {
			continue // somebody has the port
		}
		used[source] = true
		s := &udpSender{conn: conn, to: sockaddr(peer)}
		s.transmit = s.write
		if s.raw, err = conn.SyscallConn(); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return s, nil
	}
	return nil, fmt.Errorf("open a port of %s on %s to send to %s from: %w", p.local, p.link, peer, err)
}

// sendOptions sets what packets look like. What is sent to the socket
// nobody reads, so little of it is kept.
func sendOptions(v4 bool) func(fd int) error {
	return func(fd int) error {
		err := errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priority),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 0),
		)
		if v4 {
			return errors.Join(err,
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl),
				unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, trafficClass))
		}
		return errors.Join(err,
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl),
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, trafficClass))
	}
}

func sockaddr(peer netip.Addr) unix.Sockaddr {
	if peer.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: peer.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: peer.As16()}
}

// send does not go through net.UDPConn, which waits when the kernel's
// buffer is full.
func (s *udpSender) send(b []byte) error {
	s.b = b
	err := s.raw.Control(s.transmit)
	s.b = nil
	if err != nil {
		return err
	}
	return s.err
}

func (s *udpSender) write(fd uintptr) { s.err = unix.Sendto(int(fd), s.b, unix.MSG_DONTWAIT, s.to) }

func (s *udpSender) close() error { return s.conn.Close() }

// udpReceiver takes the packets of some peers.
type udpReceiver struct {
	conn *net.UDPConn
	raw  syscall.RawConn

	// Owned by read; recv is receive, made once. The kernel writes to name
	// and nameLen, which would be allocated for each packet elsewhere.
	recv    func(fd uintptr)
	b       []byte
	name    unix.RawSockaddrAny
	nameLen uint32
	n       int
	err     error
}

func openReceiver(p path, local int, peers []netip.Addr) (*udpReceiver, error) {
	conn, err := listen(p, local, func(fd int) error { return attachFilter(fd, peers) })
	if errors.Is(err, unix.EADDRINUSE) {
		err = fmt.Errorf("%w: another BFD daemon runs here; stop it or leave BFD out", err)
	}
	if err != nil {
		return nil, fmt.Errorf("receive at %s on %s: %w", p.local, p.link, err)
	}
	r := &udpReceiver{conn: conn}
	r.recv = r.receive
	if r.raw, err = conn.SyscallConn(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return r, nil
}

func (r *udpReceiver) wait() error {
	return r.raw.Read(func(fd uintptr) bool {
		_, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, 0, 0, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
		return errno != unix.EAGAIN
	})
}

func (r *udpReceiver) read(b []byte) (int, netip.Addr, error) {
	r.b = b
	err := r.raw.Control(r.recv)
	r.b = nil
	if err != nil {
		return 0, netip.Addr{}, err
	}
	if r.err != nil {
		return 0, netip.Addr{}, r.err
	}
	return r.n, address(&r.name), nil
}

// receive is recvfrom(2) without what unix.Recvfrom allocates for the
// sender's address.
func (r *udpReceiver) receive(fd uintptr) {
	r.nameLen = uint32(unsafe.Sizeof(r.name))
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(r.b))), uintptr(len(r.b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&r.name)), uintptr(unsafe.Pointer(&r.nameLen)))
	switch errno {
	case 0:
		r.n, r.err = int(n), nil
	case unix.EAGAIN:
		r.err = errEmpty
	default:
		r.err = errno
	}
}

func address(a *unix.RawSockaddrAny) netip.Addr {
	switch a.Addr.Family {
	case unix.AF_INET:
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(a)).Addr)
	case unix.AF_INET6:
		return netip.AddrFrom16((*unix.RawSockaddrInet6)(unsafe.Pointer(a)).Addr)
	}
	return netip.Addr{}
}

// drops asks the kernel how many packets it dropped at this socket, by
// its filter or for want of room; 0 when it does not say.
func (r *udpReceiver) drops() uint64 {
	var info [unix.SK_MEMINFO_VARS]uint32
	length := uint32(unsafe.Sizeof(info))
	var errno unix.Errno
	err := r.raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&length)), 0)
	})
	if err != nil || errno != 0 {
		return 0
	}
	return uint64(info[unix.SK_MEMINFO_DROPS])
}

func (r *udpReceiver) close() error { return r.conn.Close() }
