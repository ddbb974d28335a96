// Package scenarios holds the scenarios that come with the program. It owns
// the files beside it and never interprets them.
package scenarios

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// order is that of a run of all: what is planned first, then what breaks.
var order = []string{
	"nearest", "prepend", "med", "local-pref", "gshut", "deprefer", "withdraw", "node-drain", "pop-drain",
	"node-kill", "node-silent", "node-stopped", "border-silent", "blackout",
}

// Names are all scenarios, in the order in which they are run.
func Names() []string { return slices.Clone(order) }

// Text returns a scenario's file name and content.
func Text(name string) (file string, text []byte, err error) {
	file = name + ".yaml"
	if text, err = files.ReadFile(file); err != nil {
		return "", nil, fmt.Errorf("no scenario %q; there are %s, or name a file: ./%s.yaml", name, strings.Join(order, ", "), path.Base(name))
	}
	return path.Join("lab/scenarios", file), text, nil
}
