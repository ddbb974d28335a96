// Command landfall is an anycast CDN edge in one program: each verb is a
// file of this package, and what they run is put together in internal/node.
//
// The directive: on MPTCP listeners TCP_MD5SIG cannot be set, and a BGP
// session that was to be signed would be accepted unsigned.
//
//go:debug multipathtcp=0
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// The exit codes of every verb.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitDeadline = 3
)

// What an error is marked with for its exit code.
var (
	errUsage    = errors.New("usage")
	errRefused  = errors.New("refused")
	errDeadline = errors.New("the deadline has passed")
)

type cli struct {
	Dev     devCmd     `cmd:"" help:"Run a node, a demo origin and a local CA on this machine: no root, no configuration."`
	Run     runCmd     `cmd:"" help:"Run one node."`
	Node    nodeCmd    `cmd:"" help:"See the nodes of a PoP, send one away, take one back."`
	Pop     popCmd     `cmd:"" help:"Send a whole PoP's clients away, take them back."`
	BGP     bgpCmd     `cmd:"" name:"bgp" help:"See sessions with routers, and what is announced."`
	Ring    ringCmd    `cmd:"" help:"See who owns what."`
	Lab     labCmd     `cmd:"" help:"A small Internet on this machine: PoPs, routers and clients in network namespaces (root, Linux)."`
	Doctor  doctorCmd  `cmd:"" help:"Look at this machine for a node file, and at the node if it runs: what is wrong, what that means, what to do."`
	Check   checkCmd   `cmd:"" help:"Validate a node file or site documents, print every error, change nothing."`
	Version versionCmd `cmd:"" help:"Print the version."`
	Speaker speakerCmd `cmd:"" hidden:"" help:"The BGP speaker; started by run."`
}

// console is where a verb reads and writes, and the signals that end it.
type console struct {
	ctx    context.Context // done at the first SIGINT or SIGTERM
	urgent <-chan struct{} // closed at the second
	in     io.Reader
	out    io.Writer
	err    io.Writer
	// transport carries what verbs ask a node; nil is the network.
	transport http.RoundTripper
}

func main() {
	ctx, urgent, stop := signals()
	code := execute(os.Args[1:], &console{ctx: ctx, urgent: urgent, in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// execute runs one command line and returns its exit code.
func execute(args []string, c *console) int {
	var root cli
	exited := false
	parser, err := kong.New(&root,
		kong.Name("landfall"),
		kong.Description("An anycast CDN edge: TLS and QUIC, cache, consistent hashing and BGP in one program."),
		kong.UsageOnError(),
		kong.Writers(c.out, c.err),
		kong.Exit(func(int) { exited = true }),
		kong.Vars{"config_dir": defaultDir(), "admin": defaultAdmin},
	)
	if err != nil {
		_, _ = fmt.Fprintln(c.err, "landfall: BUG:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited { // --help was printed
		return exitDone
	}
	if err != nil {
		_, _ = fmt.Fprintf(c.err, "landfall: %v; see landfall --help\n", err)
		return exitUsage
	}
	switch err := parsed.Run(c); {
	case err == nil:
		return exitDone
	case errors.Is(err, errUsage), errors.Is(err, errRefused):
		_, _ = fmt.Fprintln(c.err, "landfall:", err)
		return exitUsage
	case errors.Is(err, errDeadline), errors.Is(err, context.DeadlineExceeded):
		_, _ = fmt.Fprintln(c.err, "landfall:", err)
		return exitDeadline
	default:
		_, _ = fmt.Fprintln(c.err, "landfall:", err)
		return exitFailed
	}
}

// signals turns the first SIGINT or SIGTERM into the end of a context, and
// the second into a closed channel.
func signals() (ctx context.Context, urgent <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	second, ended := make(chan struct{}), make(chan struct{})
	// A reader of our output that goes away must not take an edge down.
	// SIGHUP is for the sites, once they listen for it.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	got := make(chan os.Signal, 2)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, act := range []func(){cancel, func() { close(second) }} {
			select {
			case <-got:
				act()
			case <-ended:
				return
			}
		}
	}()
	return ctx, second, func() {
		signal.Stop(got)
		close(ended)
		<-done
		cancel()
	}
}
