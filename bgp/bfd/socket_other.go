//go:build !linux

package bfd

import (
	"errors"
	"fmt"
	"net/netip"
)

func openWires([]netip.Addr) (*wires, error) {
	return nil, fmt.Errorf("its sockets are there on Linux only: %w", errors.ErrUnsupported)
}
