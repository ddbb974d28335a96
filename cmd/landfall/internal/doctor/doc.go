// Package doctor judges what usually goes wrong around a node: before it
// runs, what the machine lacks for the node file; while it runs, whether
// routers and other nodes see it as it is meant. It owns the judgements and
// their words, each a function of facts, and the probes that gather facts. It
// changes nothing, and never decides what a node does.
package doctor

import (
	"io/fs"
	"net/netip"
	"time"

	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

// The verdicts.
const (
	OK   = "ok"
	Warn = "warn"
	Fail = "FAIL"
)

// Finding is one answer.
type Finding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict"` // OK, Warn or Fail
	Text    string `json:"text"`    // what was found
	// Means and Do say what it leads to, and what to do; "" when all is well.
	Means string `json:"means,omitempty"`
	Do    string `json:"do,omitempty"`
}

// Facts are what is known of the machine and of the node.
type Facts struct {
	Conf      *configs.Node
	Addresses []Address
	// Routes are the ways to BGP peers and other nodes, by address.
	Routes map[netip.Addr]Route
	// Ports are what came of trying to listen, by address.
	Ports map[netip.AddrPort]error
	// LowPorts tells whether this process may listen below 1024.
	LowPorts bool
	// MD5 says why TCP MD5 cannot be used, by peer; nil: it can.
	MD5 map[netip.Addr]error
	// Clock says what is wrong with the clock.
	Clock error
	// Files is how many descriptors a process may have; 0: not known.
	Files uint64
	// State says why the folder cannot be written.
	State error
	// Secrets are the files with secrets, by key of the node file.
	Secrets map[string]Secret
	// Running is what the node says, nil when its admin address is silent.
	Running *Running
}

// Address is one of this machine's.
type Address struct {
	netip.Prefix
	Interface string
	MTU       int
}

// Route is the way to an address.
type Route struct {
	Source netip.Addr // the own address it is reached from
	Err    error
}

// Secret is a file with one.
type Secret struct {
	Mode fs.FileMode
	Err  error // it cannot be read
}

// Running is what a node says of itself.
type Running struct {
	Nodes    []pop.Node
	BGP      pop.BGP
	Announce Announce
	// Err says what could not be asked.
	Err error
}

// Announce is what is read of /healthz/announce.
type Announce struct {
	Rung     string        `json:"announce"`
	Wanted   string        `json:"wanted"`
	Since    time.Time     `json:"since"`
	Held     string        `json:"held"`
	Refusals []pop.Refusal `json:"refusals"`
	Prefixes []string      `json:"prefixes"`
	// Others are the nodes of the fleet that were heard, this one left out.
	Others []Other `json:"others"`
}

// Other is what another node said of itself.
type Other struct {
	Node uint8   `json:"node"`
	Age  float64 `json:"age_seconds"`
}

// Examine judges facts. The order is that in which a node comes up.
func Examine(f *Facts) (out []Finding) {
	for _, check := range []func(*Facts) []Finding{
		vips, listeners, lowPorts, ports, md5, links, routes, mtu, clock, files, state, secrets,
	} {
		out = append(out, check(f)...)
	}
	if f.Running == nil {
		return append(out, Finding{Check: "node", Verdict: OK, Text: "does not run: " + f.Conf.Admin.Listen.String() + " is silent"})
	}
	for _, check := range []func(*Facts) []Finding{asked, sessions, bfd, announced, told, members, fleet} {
		out = append(out, check(f)...)
	}
	return out
}

// Failed counts findings of Fail.
func Failed(all []Finding) (n int) {
	for _, f := range all {
		if f.Verdict == Fail {
			n++
		}
	}
	return n
}
