package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/landfall-cdn/landfall/lab/inet"
)

type labCmd struct {
	Up     labUpCmd     `cmd:"" help:"Start PoPs, routers and clients in network namespaces of this machine."`
	Status labStatusCmd `cmd:"" help:"Draw who announces what, and where each client lands."`
	Down   labDownCmd   `cmd:"" help:"End a lab, and remove what is left of one."`

	Supervise labSuperviseCmd `cmd:"" hidden:"" help:"The process that keeps a lab; started by up."`
	Reap      labReapCmd      `cmd:"" hidden:"" help:"Cleans up when that was killed; started by it."`
	Origin    labOriginCmd    `cmd:"" hidden:"" help:"The lab's origin."`
}

// labFlags are those of all its verbs.
type labFlags struct {
	Name string `default:"default" help:"Name of the lab, 1 to 16 of a-z and 0-9; labs of different names run beside one another (${default})."`
}

type labUpCmd struct {
	labFlags
	Routers string `enum:"bird,frr" default:"bird" help:"What all routers run: bird or frr (${default})."`
	Program string `type:"existingfile" placeholder:"FILE" help:"The landfall binary that the nodes run; this one unless given."`
	Keep    bool   `help:"Leave the lab's folder with all logs when it ends."`
}

// Run starts a lab.
func (k *labUpCmd) Run(c *console) error {
	began := time.Now()
	_, err := k.up(c, func(stage string) { _, _ = fmt.Fprintf(c.err, "landfall: lab: %s\n", stage) })
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.out, "Lab %s is up after %.1f s; its files are in %s\n", k.Name, time.Since(began).Seconds(), inet.Dir(k.Name))
	return nil
}

func (k *labUpCmd) up(c *console, say func(string)) (*inet.Lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, to run it in the lab: %w", err)
	}
	opts := inet.Options{Name: k.Name, Routers: k.Routers, Program: k.Program, Keep: k.Keep}
	if opts.Program == "" {
		opts.Program = self
	}
	if err := inet.Up(c.ctx, self, opts, say); err != nil {
		return nil, err
	}
	return inet.Open(k.Name)
}

type labDownCmd struct{ labFlags }

// Run ends a lab.
func (k *labDownCmd) Run(c *console) error {
	found, err := inet.Down(c.ctx, k.Name)
	if err != nil {
		return err
	}
	if !found {
		_, _ = fmt.Fprintf(c.out, "There is no lab %s.\n", k.Name)
		return nil
	}
	_, _ = fmt.Fprintf(c.out, "Nothing of lab %s is left.\n", k.Name)
	return nil
}

type labStatusCmd struct {
	labFlags
	outputFlags
}

// Run draws the lab.
func (k *labStatusCmd) Run(c *console) error {
	return errors.New("not yet")
}

type labSuperviseCmd struct {
	Options string `arg:""`
}

// Run keeps a lab.
func (k *labSuperviseCmd) Run(c *console) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return inet.Supervise(c.ctx, self, k.Options, os.Stdout)
}

type labReapCmd struct {
	Options string `arg:""`
}

// Run waits for the supervisor's end.
func (k *labReapCmd) Run(c *console) error { return inet.Reap(k.Options, c.in) }

type labOriginCmd struct {
	Addr string `arg:""`
}

// Run serves the origin.
func (k *labOriginCmd) Run(c *console) error { return inet.ServeOrigin(c.ctx, k.Addr) }
