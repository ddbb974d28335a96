// Package memlimit fits the garbage collector to the machine: the Go
// memory limit to what the process' control group allows, and the pace of
// collection to a heap that is mostly cached bodies. What an operator sets
// in GOMEMLIMIT or GOGC wins. It never reads a node file and never looks
// at how much is in use.
package memlimit

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// share is the part of the control group's limit that Go may use, in
// percent. The Go limit is soft, and the kernel counts what Go does not:
// socket buffers, page tables, the binary's own pages.
const share = 80

// Slack is what a node needs besides its cache before it serves anybody,
// in bytes: code, sites, certificates, and buffers of some thousand
// connections.
const Slack = 128 << 20

// Config is what a node says about its memory.
type Config struct {
	// Cache is how many bytes the cache may hold in memory.
	Cache int64
	// GCPercent is the pace of the collector (runtime/debug.SetGCPercent)
	// unless GOGC is set. 0 leaves Go's own.
	GCPercent int
}

// Applied is what is in force.
type Applied struct {
	// Group is the smallest limit among the control group and its parents,
	// in bytes; 0 when there is none.
	Group int64
	// Limit is the Go memory limit in bytes; 0 when there is none.
	Limit int64
	// GCPercent is the pace of the collector; -1 when GOGC turned it off.
	GCPercent int
	// Warning says what does not fit together and what to do, "" when all
	// does.
	Warning string
}

// Apply fits the collector of this process. An error says that the limit
// of the control group could not be read; everything else is in force
// then.
func Apply(c Config) (Applied, error) {
	group, err := groupLimit(memlimit.FromCgroup)
	p := decide(c, group, os.Getenv)
	if p.limit > 0 {
		debug.SetMemoryLimit(p.limit)
	}
	if p.gcPercent > 0 {
		debug.SetGCPercent(p.gcPercent)
	}
	a := inForce()
	a.Group = group
	a.Warning = warning(c, a)
	return a, err
}

// groupLimit asks a provider for the limit of the control group, 0 when
// there is none.
func groupLimit(provider memlimit.Provider) (int64, error) {
	limit, err := provider()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("memory limit of the control group: %w; set GOMEMLIMIT to about %d %% of what the node may use", err, share)
	case limit > math.MaxInt64/100: // more than any machine has
		return 0, nil
	}
	return int64(limit), nil
}

// plan is what to set; 0 leaves a thing alone.
type plan struct {
	limit     int64
	gcPercent int
}

func decide(c Config, group int64, env func(string) string) (p plan) {
	if env("GOMEMLIMIT") == "" {
		p.limit = group * share / 100
	}
	if env("GOGC") == "" {
		p.gcPercent = c.GCPercent
	}
	return p
}

// inForce reads the settings back from the runtime, whoever made them.
func inForce() (a Applied) {
	read := []metrics.Sample{{Name: "/gc/gomemlimit:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(read)
	if limit := read[0].Value.Uint64(); limit < math.MaxInt64 {
		a.Limit = int64(limit)
	}
	a.GCPercent = -1
	if percent := read[1].Value.Uint64(); percent <= math.MaxInt32 {
		a.GCPercent = int(percent)
	}
	return a
}

// warning finds a cache that leaves no room: at the Go limit the collector
// runs without end, at the group's the kernel ends the process.
func warning(c Config, a Applied) string {
	need := c.Cache + Slack
	switch {
	case a.Group > 0 && need > a.Group:
		return fmt.Sprintf("cache.memory of %d MiB and %d MiB for the rest exceed the control group's limit of %d MiB: the kernel will end the node once the cache is full; lower cache.memory or raise the limit",
			c.Cache>>20, Slack>>20, a.Group>>20)
	case a.Limit > 0 && need > a.Limit:
		return fmt.Sprintf("cache.memory of %d MiB and %d MiB for the rest exceed the Go memory limit of %d MiB: the collector will run without end once the cache is full; lower cache.memory or raise GOMEMLIMIT or the control group's limit",
			c.Cache>>20, Slack>>20, a.Limit>>20)
	}
	return ""
}
