package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/lab/inet"
	"github.com/landfall-cdn/landfall/lab/scenario"
	"github.com/landfall-cdn/landfall/lab/scenarios"
)

type labCmd struct {
	Up     labUpCmd     `cmd:"" help:"Start PoPs, routers and clients in network namespaces of this machine."`
	Status labStatusCmd `cmd:"" help:"Draw who announces what, and where each client lands."`
	Run    labRunCmd    `cmd:"" help:"Run scenarios, and print what was measured against what must hold."`
	Down   labDownCmd   `cmd:"" help:"End a lab, and remove what is left of one."`

	Supervise labSuperviseCmd `cmd:"" hidden:"" help:"The process that keeps a lab; started by up."`
	Reap      labReapCmd      `cmd:"" hidden:"" help:"Cleans up when that was killed; started by it."`
	Origin    labOriginCmd    `cmd:"" hidden:"" help:"The lab's origin."`
}

// labFlags are those of all its verbs.
type labFlags struct {
	Name string `default:"default" help:"Name of the lab, 1 to 16 of a-z and 0-9; labs of different names run beside one another (${default})."`
}

type labUpCmd struct{ labUpFlags }

// labUpFlags are those of the verbs that start a lab.
type labUpFlags struct {
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

func (k *labUpFlags) up(c *console, say func(string)) (*inet.Lab, error) {
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

type labRunCmd struct {
	labUpFlags
	Scenarios []string `arg:"" name:"scenario" help:"Names of scenarios, files that end in .yaml, or all."`
	Tries     int      `default:"3" help:"How often a scenario is run at most that misses a time, and nothing else (${default})."`
	Output    string   `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

// Run runs scenarios, in the lab that is up or in one of its own.
func (k *labRunCmd) Run(c *console) error {
	list, err := loadScenarios(k.Scenarios)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	inet.Prioritise()
	l, end, err := k.lab(c)
	if err != nil {
		return err
	}
	results, err := k.run(c, l, list)
	err = errors.Join(err, end())
	if k.Output == "json" {
		if e := (outputFlags{Output: k.Output}).write(c.out, results, nil); e != nil {
			return errors.Join(err, e)
		}
	} else {
		scenario.Write(c.out, results)
	}
	for i := range results {
		if !results[i].OK() {
			err = errors.Join(err, fmt.Errorf("%s failed", results[i].Name))
		}
	}
	return err
}

func (k *labRunCmd) run(c *console, l *inet.Lab, list []*scenario.Scenario) (results []scenario.Result, err error) {
	r := scenario.Runner{Lab: l, Tries: k.Tries, Say: func(format string, args ...any) { _, _ = fmt.Fprintf(c.err, "landfall: lab: "+format+"\n", args...) }}
	for _, s := range list {
		res, err := r.Run(c.ctx, s)
		results = append(results, res)
		if err != nil || c.ctx.Err() != nil {
			return results, errors.Join(err, c.ctx.Err())
		}
	}
	return results, nil
}

// lab returns the lab that is up, or one that ends with the run.
func (k *labRunCmd) lab(c *console) (l *inet.Lab, end func() error, err error) {
	l, err = inet.Open(k.Name)
	if err == nil {
		return l, func() error { return nil }, nil
	}
	if !errors.Is(err, inet.ErrNoLab) {
		return nil, nil, err
	}
	l, err = k.up(c, func(stage string) { _, _ = fmt.Fprintf(c.err, "landfall: lab: %s\n", stage) })
	return l, func() error {
		_, err := inet.Down(context.WithoutCancel(c.ctx), k.Name)
		return err
	}, err
}

// loadScenarios reads all that are named before anything is run.
func loadScenarios(names []string) (out []*scenario.Scenario, err error) {
	var errs []error
	for _, name := range names {
		if name == "all" {
			all, err := loadScenarios(scenarios.Names())
			out, errs = append(out, all...), append(errs, err)
			continue
		}
		var file string
		var text []byte
		if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
			file = name
			text, err = configs.ReadDocument(name)
			if err != nil {
				err = fmt.Errorf("%s %w", name, err)
			}
		} else {
			file, text, err = scenarios.Text(name)
		}
		if err == nil {
			var s *scenario.Scenario
			s, err = scenario.Parse(file, text)
			out = append(out, s)
		}
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

type labStatusCmd struct {
	labFlags
	outputFlags
}

// Run draws the lab.
func (k *labStatusCmd) Run(c *console) error {
	l, err := inet.Open(k.Name)
	if err != nil {
		return err
	}
	s, err := l.Status(c.ctx)
	if err != nil {
		return err
	}
	if k.Output == "table" {
		return s.Draw(c.out)
	}
	return k.write(c.out, s, nil)
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
	inet.Prioritise()
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
