package bfd

import (
	"encoding/json"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// blast is what a host on the network sends to a node.
type blast struct {
	From, To netip.Addr
	TTL      int
	Packet   []byte
	Count    int
}

func blastMain() error {
	var b blast
	if err := json.Unmarshal([]byte(os.Getenv(inputEnv)), &b); err != nil {
		return err
	}
	family, level, option := unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS
	var from unix.Sockaddr = &unix.SockaddrInet6{Addr: b.From.As16()}
	if b.From.Is4() {
		family, level, option = unix.AF_INET, unix.IPPROTO_IP, unix.IP_TTL
		from = &unix.SockaddrInet4{Addr: b.From.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, level, option, b.TTL); err != nil {
		return err
	}
	if err := unix.Bind(fd, from); err != nil {
		return err
	}
	to := sockaddr(b.To)
	for range b.Count {
		if err := unix.Sendto(fd, b.Packet, 0, to); err != nil {
			return err
		}
	}
	return nil
}
