package speaker

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// confinedEnv says that the process began anew without privileges.
	confinedEnv = "LANDFALL_SPEAKER_CONFINED"
	// maxFiles bounds open files: standard ones, the runtime's, the
	// listeners, and of each peer a session and one that is being opened.
	maxFiles = 256
	// niceness is what a speaker asks for: late beats and keepalives cost
	// announcements, and it does next to nothing.
	niceness = -10
)

// confine gives away for good what a speaker has no use for, before it
// hears a router's first byte: new privileges, capabilities, core dumps,
// open files. Capabilities belong to threads and the runtime has started
// some, so the process begins anew from the thread that has none left; of
// all that follows only listen needs one, for the port.
func confine(listen bool) error {
	if os.Getenv(confinedEnv) != "" {
		return settle()
	}
	runtime.LockOSThread() // until the end, whether it comes by exec or by an error
	// Without CAP_SYS_NICE it stays as it is.
	_ = unix.Setpriority(unix.PRIO_PROCESS, 0, niceness)
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := dropCapabilities(listen); err != nil {
		return err
	}
	err := syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), confinedEnv+"=1"))
	return fmt.Errorf("begin anew without privileges: %w", err)
}

// dropCapabilities takes them from this thread, and from what it executes.
func dropCapabilities(listen bool) error {
	const bind = unix.CAP_NET_BIND_SERVICE
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for c := range uintptr(64) {
		if listen && c == bind {
			continue
		}
		// EINVAL ends the capabilities of this kernel. EPERM is of a process
		// that has not got them: it gets none by executing a file either.
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
			break
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	keep := uint32(0)
	if listen {
		keep = data[0].Permitted & (1 << bind)
	}
	data = [2]unix.CapUserData{{Effective: keep, Permitted: keep, Inheritable: keep}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	if keep != 0 {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, bind, 0, 0); err != nil {
			return fmt.Errorf("keep the capability to listen: %w", err)
		}
	}
	return nil
}

// settle is the part that the whole process does.
func settle() error {
	var errs []error
	for _, limit := range []struct {
		name     string
		resource int
		most     uint64
	}{
		{"core dumps", unix.RLIMIT_CORE, 0},
		{"open files", unix.RLIMIT_NOFILE, maxFiles},
	} {
		if err := unix.Setrlimit(limit.resource, &unix.Rlimit{Cur: limit.most, Max: limit.most}); err != nil {
			errs = append(errs, fmt.Errorf("limit %s: %w", limit.name, err))
		}
	}
	// Passwords of sessions are in memory.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		errs = append(errs, fmt.Errorf("close memory to others: %w", err))
	}
	return errors.Join(errs...)
}
