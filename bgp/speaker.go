package bgp

import (
	"context"
	"time"
)

// Speaker speaks BGP for whoever decides what is announced.
type Speaker interface {
	// Run keeps the speaker at work until ctx is done, then ends all
	// sessions and returns; everything announced is gone by then. An
	// error says that it cannot work on this machine as configured. A
	// speaker that broke for good while running is no error: see
	// Status.Down.
	Run(ctx context.Context) error
	// Apply asks for d and does not wait. It refuses what is not the
	// node's to announce and a generation that is not newer than the last.
	Apply(d Desired) error
	// Applied waits until the generation, or a later one, is in force.
	Applied(ctx context.Context, generation uint64) error
	Status() Status
}

// StopTime is how long a Speaker's Run may take to return.
const StopTime = 3 * time.Second
