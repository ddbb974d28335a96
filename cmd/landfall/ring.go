package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/landfall-cdn/landfall/internal/admin/pop"
)

type ringCmd struct {
	Show   ringShowCmd   `cmd:"" help:"Show which part of the keys and sessions each node owns."`
	Locate ringLocateCmd `cmd:"" help:"Say which node owns a key, or what a URL is stored under."`
}

type ringShowCmd struct {
	adminFlags
	outputFlags
}

// Run shows the table that is in force on the node that is asked.
func (k *ringShowCmd) Run(c *console) error {
	a, err := k.api(c)
	if err != nil {
		return err
	}
	var r pop.Ring
	if err := a.get(c.ctx, "/v1/ring", &r); err != nil {
		return err
	}
	if k.Output == "table" {
		_, _ = fmt.Fprintf(c.out, "generation %d, hash %s, %d partitions\n\n", r.Generation, r.Hash, r.Partitions)
	}
	return k.write(c.out, r, func(t *tableWriter) {
		t.row("NAME", "ID", "L7", "WEIGHT", "PARTITIONS", "SHARE")
		for _, m := range r.Members {
			t.row(m.Name, m.ID, m.L7, m.Weight, m.Partitions, percent(m.Share))
		}
	})
}

type ringLocateCmd struct {
	adminFlags
	outputFlags
	Key string `arg:"" name:"key-or-url" help:"Key, or URL of a site of the node, such as https://shop.example.com/a.css."`
}

// Run says whose a key is.
func (k *ringLocateCmd) Run(c *console) error {
	a, err := k.api(c)
	if err != nil {
		return err
	}
	var l pop.Located
	if err := a.get(c.ctx, "/v1/ring/locate?key="+url.QueryEscape(k.Key), &l); err != nil {
		return err
	}
	return k.write(c.out, l, func(t *tableWriter) {
		t.row("key", l.Key)
		if l.Site != "" {
			t.row("site", l.Site)
		}
		t.row("partition", l.Partition)
		owner := "nobody: no node is active"
		if l.Owner != nil {
			owner = ref(*l.Owner)
		}
		t.row("owner", owner)
		var previous []string
		for _, p := range l.Previous {
			previous = append(previous, ref(p))
		}
		t.row("previous", strings.Join(previous, ", "))
		t.row("generation", l.Generation)
	})
}

// ref names a node for people.
func ref(r pop.Ref) string {
	self := ""
	if r.Self {
		self = ", which was asked"
	}
	return fmt.Sprintf("%s (node %d%s)", r.Name, r.ID, self)
}
