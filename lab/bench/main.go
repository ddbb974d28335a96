// Command bench measures what a request costs Landfall, side by side with
// nginx: CPU microseconds of the server per request, and bytes of memory
// per idle connection. It starts everything itself, on loopback: the
// origin, nginx with proxy_cache, this tree's landfall, each pinned to one
// processor, and the clients on another. It judges nothing but ratios,
// which are taken inside a round so that drift of the machine cancels out.
//
//	go run ./lab/bench -kinds h1,h2 -rounds 7 -max-ratio h1:/o/1k=0.8
//
// It ends with 1 when a limit does not hold, and with 2 when it could not
// measure: a program is missing, an answer is wrong, or not a hit.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes.
const (
	exitDone  = 0
	exitOver  = 1
	exitUnfit = 2
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "client" {
		os.Exit(clientMain(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	opts, err := parseOptions(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return exitUnfit
	}
	cells, err := measure(ctx, opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return exitUnfit
	}
	over := verdicts(cells, opts)
	fmt.Print(describe(ctx, opts) + "\n" + table(cells) + "\n")
	for _, o := range over {
		fmt.Println(o)
	}
	if len(over) > 0 {
		return exitOver
	}
	return exitDone
}

// measure stages the servers and runs all rounds.
func measure(ctx context.Context, opts options) (cells []*cell, err error) {
	s, err := newStage(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	b, err := newBench(ctx, s, opts)
	if err != nil {
		return nil, err
	}
	return b.run(ctx)
}
