//go:build unix

package node

import "syscall"

// fileLimit returns how many descriptors the process may have, 0 when that
// is not known.
func fileLimit() uint64 {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return r.Cur
}
