//go:build !linux

package inet

import (
	"context"
	"time"

	"github.com/landfall-cdn/landfall/internal/netns"
)

// WatchRoutes fails: there is no lab here.
func (l *Lab) WatchRoutes(context.Context, string) (<-chan time.Time, func(), error) {
	return nil, nil, netns.ErrUnsupported
}
