package inet

import (
	"context"
	"errors"
	"net/netip"
)

// frrDaemons is where Debian puts the programs of FRR.
const frrDaemons = "/usr/lib/frr"

type frrRouting struct{}

var errSoon = errors.New("FRR is not here yet")

func (frrRouting) daemons(*Lab, *Router) []daemon                               { return nil }
func (frrRouting) configure(context.Context, *Lab, *Router, Policy, bool) error { return errSoon }
func (frrRouting) sessions(context.Context, *Lab, *Router) ([]Session, error)   { return nil, errSoon }
func (frrRouting) path(context.Context, *Lab, *Router, netip.Prefix) ([]uint32, bool, error) {
	return nil, false, errSoon
}

func (frrRouting) hears(context.Context, *Lab, *Router, string, netip.Prefix) (bool, error) {
	return false, errSoon
}
func (frrRouting) fast(context.Context, *Lab, *Router) (bool, error) { return false, errSoon }
