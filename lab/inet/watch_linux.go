package inet

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// routeGroups are the messages about changed routes, of both families.
const routeGroups = 1<<(syscall.RTNLGRP_IPV4_ROUTE-1) | 1<<(syscall.RTNLGRP_IPV6_ROUTE-1)

// watchTurn is how often a watcher looks whether it is to end.
const watchTurn = 100 * time.Millisecond

// WatchRoutes sends the time whenever the kernel of a border changes a
// route; of several in a row the newest is kept. It ends with ctx; stop
// waits for that.
func (l *Lab) WatchRoutes(ctx context.Context, border string) (changes <-chan time.Time, stop func(), err error) {
	fd := -1
	err = l.space(border).Do(func() (err error) {
		if fd, err = syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE); err != nil {
			return err
		}
		return syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: routeGroups})
	})
	if err == nil {
		turn := syscall.NsecToTimeval(watchTurn.Nanoseconds())
		err = syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &turn)
	}
	if err != nil {
		if fd >= 0 {
			_ = syscall.Close(fd)
		}
		return nil, nil, fmt.Errorf("watch the routes of %s: %w", border, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	out := make(chan time.Time, 1)
	var watching sync.WaitGroup
	watching.Go(func() {
		defer func() { _ = syscall.Close(fd) }()
		buffer := make([]byte, 64<<10)
		for ctx.Err() == nil {
			n, _, err := syscall.Recvfrom(fd, buffer, 0)
			if err != nil && err != syscall.ENOBUFS || n == 0 && err == nil {
				continue // a turn has passed, or a signal came
			}
			select {
			case <-out: // makes room for the newer
			default:
			}
			out <- time.Now()
		}
	})
	return out, func() { cancel(); watching.Wait() }, nil
}
