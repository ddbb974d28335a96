package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/landfall-cdn/landfall/cmd/landfall/internal/doctor"
	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

type doctorCmd struct {
	Config string `required:"" type:"path" placeholder:"FILE" help:"Node file of this machine."`
	Output string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

// Run looks at this machine and, if it runs, at the node, and says what is
// wrong, what that means and what to do.
func (k *doctorCmd) Run(c *console) error {
	conf, diags := configs.LoadNode(k.Config)
	_, _ = fmt.Fprint(c.err, diags)
	if diags.HasErrors() {
		return errors.New("the node file is refused; nothing else was looked at")
	}
	facts, err := doctor.Look(c.ctx, conf)
	if err != nil {
		return err
	}
	facts.Running = askRunning(c, conf)
	found := doctor.Examine(facts)
	if k.Output == "json" {
		err = (outputFlags{Output: k.Output}).write(c.out, found, nil)
	} else {
		err = writeFindings(c.out, found)
	}
	if n := doctor.Failed(found); err == nil && n > 0 {
		return fmt.Errorf("%d of %d checks fail", n, len(found))
	}
	return err
}

func writeFindings(out io.Writer, found []doctor.Finding) error {
	for _, f := range found {
		_, err := fmt.Fprintf(out, "%-4s  %-14s  %s\n", f.Verdict, f.Check, f.Text)
		for _, more := range []struct{ what, text string }{{"means", f.Means}, {"do", f.Do}} {
			if more.text != "" && err == nil {
				_, err = fmt.Fprintf(out, "      %14s  %s\n", more.what, more.text)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// askRunning asks the node of the file, nil when its admin address is silent.
func askRunning(c *console, conf *configs.Node) *doctor.Running {
	a := newAPI(conf.Admin.Listen.String(), c)
	out := &doctor.Running{}
	var nodes pop.Nodes
	if !a.answers(c.ctx) {
		return nil
	}
	out.Err = a.get(c.ctx, "/v1/nodes", &nodes)
	out.Nodes = nodes.Nodes
	if conf.BGP != nil && out.Err == nil {
		out.Err = errors.Join(a.get(c.ctx, nodePath(conf.Node.Name, "bgp"), &out.BGP), a.announce(c.ctx, &out.Announce))
	}
	return out
}

// answers tells whether something speaks HTTP there.
func (a *api) answers(ctx context.Context) bool {
	resp, err := a.ask(ctx, "/healthz/announce")
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil
}

// announce reads what is announced. The status of the answer is for load
// balancers.
func (a *api) announce(ctx context.Context, out *doctor.Announce) error {
	resp, err := a.ask(ctx, "/healthz/announce")
	if err != nil {
		return a.unreached(err)
	}
	defer resp.Body.Close()
	return json.NewDecoder(io.LimitReader(resp.Body, answerSize)).Decode(out)
}

func (a *api) ask(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.addr+path, nil)
	if err != nil {
		return nil, err
	}
	return a.http.Do(req)
}
