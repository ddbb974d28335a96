package origin

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitWindow bounds the receive window of a connection, and with it what
// the kernel keeps for a reader that is slow or stalled. TCP_WINDOW_CLAMP
// would not do: automatic tuning raises it again. The kernel lowers the
// bound to net.core.rmem_max for a process without CAP_NET_ADMIN.
func limitWindow(c syscall.RawConn, bytes int) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
		if errors.Is(err, unix.EPERM) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		}
	}); cerr != nil {
		return cerr
	}
	return err
}
