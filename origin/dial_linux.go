package origin

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitWindow bounds the receive window of a connection, and with it what
// the kernel keeps for a reader that is slow or stalled. Unlike
// SO_RCVBUF it leaves automatic tuning below the bound in force.
func limitWindow(c syscall.RawConn, bytes int) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, bytes)
	}); cerr != nil {
		return cerr
	}
	return err
}
