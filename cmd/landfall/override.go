package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// overrideFlags are those of the verbs that an interlock may refuse.
type overrideFlags struct {
	Reason      string        `help:"Why; needed with --override, and shown to whoever asks later."`
	Override    []string      `placeholder:"INTERLOCK" help:"Interlocks that are to pass, such as last-announcer."`
	OverrideFor time.Duration `default:"10m" help:"How long they pass (${default})."`
}

// request is what the flags ask for.
func (f overrideFlags) request() (pop.OrderRequest, error) {
	if len(f.Override) > 0 && strings.TrimSpace(f.Reason) == "" {
		return pop.OrderRequest{}, fmt.Errorf("%w: --override %s needs --reason: whoever finds the node like this has to know", errUsage, strings.Join(f.Override, ","))
	}
	req := pop.OrderRequest{Reason: f.Reason, Override: f.Override}
	if len(f.Override) > 0 {
		req.OverrideFor = f.OverrideFor.String()
	}
	return req, nil
}
