package speaker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// errMD5 says what is wrong when a listener takes no MD5 key. The Go
// runtime makes listeners speak Multipath TCP since Go 1.24, and those
// cannot.
var errMD5 = errors.New("this process cannot protect its listener with TCP MD5: build its main package with //go:debug multipathtcp=0, " +
	"or unset GODEBUG=multipathtcp; otherwise sessions would be accepted without the password")

// checkMD5 makes a listener the way GoBGP does and gives it a key for
// the peer.
func checkMD5(local, peer netip.Addr, password string) error {
	network := "tcp6"
	if local.Is4() {
		network = "tcp4"
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), network, netip.AddrPortFrom(local, 0).String())
	if err != nil {
		return fmt.Errorf("check TCP MD5: %w", err)
	}
	defer l.Close()
	conn, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return fmt.Errorf("check TCP MD5: %w", err)
	}
	key := md5Key(peer, password)
	var setErr error
	err = conn.Control(func(fd uintptr) {
		setErr = unix.SetsockoptTCPMD5Sig(int(fd), unix.IPPROTO_TCP, unix.TCP_MD5SIG, key)
	})
	if err = errors.Join(err, setErr); err != nil {
		return fmt.Errorf("%w (%w)", errMD5, err)
	}
	return nil
}

func md5Key(peer netip.Addr, password string) *unix.TCPMD5Sig {
	key := &unix.TCPMD5Sig{Keylen: uint16(len(password))}
	copy(key.Key[:], password)
	// Data is the rest of a sockaddr: port, then for IPv6 the flow label.
	if peer.Is4() {
		key.Addr.Family = unix.AF_INET
		copy(key.Addr.Data[2:], peer.AsSlice())
	} else {
		key.Addr.Family = unix.AF_INET6
		copy(key.Addr.Data[6:], peer.AsSlice())
	}
	return key
}
