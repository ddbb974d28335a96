package http3

import (
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// tuneSocket asks for what QUIC needs, by force where this process may, and
// reports what was had: the kernel caps buffer sizes without a word.
func tuneSocket(conn *net.UDPConn) socketState {
	var s socketState
	raw, err := conn.SyscallConn()
	if err != nil {
		return s
	}
	// An error of Control leaves the state as it is: nothing was had.
	_ = raw.Control(func(fd uintptr) {
		s.readBuffer = grow(int(fd), unix.SO_RCVBUF, unix.SO_RCVBUFFORCE)
		s.writeBuffer = grow(int(fd), unix.SO_SNDBUF, unix.SO_SNDBUFFORCE)
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		s.segmentation = err == nil
	})
	if off, err := strconv.ParseBool(os.Getenv("QUIC_GO_DISABLE_GSO")); err == nil && off {
		s.segmentation = false
	}
	return s
}

// grow returns the size of a buffer in bytes, once it is as large as wanted
// or as can be had.
func grow(fd, option, force int) int {
	size := func() int {
		n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
		if err != nil {
			return 0
		}
		return n
	}
	for _, how := range []int{option, force} {
		if size() >= socketBuffer {
			break
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, how, socketBuffer) // size tells
	}
	return size()
}
