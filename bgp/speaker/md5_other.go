//go:build !linux

package speaker

import (
	"errors"
	"net/netip"
)

var errMD5 = errors.New("TCP MD5 is supported on Linux only")

func checkMD5(_, _ netip.Addr, _ string) error { return errMD5 }
