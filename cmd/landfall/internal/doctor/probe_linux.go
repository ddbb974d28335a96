package doctor

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// bindService is the bit of CAP_NET_BIND_SERVICE (capabilities(7)).
const bindService = 10

func lowPortsAllowed() bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		rest, ok := strings.CutPrefix(line, "CapEff:")
		if !ok {
			continue
		}
		caps, err := strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
		if err == nil && caps&(1<<bindService) != 0 {
			return true
		}
	}
	start, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	return err == nil && strings.TrimSpace(string(start)) == "0"
}

// clockState asks the kernel whether anything keeps its clock in time.
func clockState() error {
	var t unix.Timex
	switch state, err := unix.Adjtimex(&t); {
	case err != nil:
		return nil //nolint:nilerr // what is forbidden to ask in a container says nothing about the clock
	case state == unix.TIME_ERROR:
		return errors.New("nothing keeps the kernel's clock in time")
	}
	return nil
}

// fileLimit is the hard limit: a Go program raises its own to that.
func fileLimit() uint64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return r.Max
}
