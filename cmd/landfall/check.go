package main

import (
	"errors"
	"fmt"

	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/edge/site"
)

type checkCmd struct {
	Config string   `type:"path" placeholder:"FILE" xor:"what" required:"" help:"Node file; its sites.dir is checked too. Either this or --file."`
	File   []string `short:"f" type:"path" placeholder:"FILE" xor:"what" required:"" help:"Site document; may be given several times."`
	Quiet  bool     `short:"q" help:"Do not print the effective node file."`
}

// Run validates, prints every error and changes nothing.
func (k *checkCmd) Run(c *console) error {
	rules, err := site.NewCompiler()
	if err != nil {
		return err
	}
	opt := configs.Options{CompileRule: rules.Check}
	var (
		conf  *configs.Node
		sites []*configs.Site
		diags configs.Diagnostics
	)
	if k.Config != "" {
		conf, diags = configs.LoadNode(k.Config)
		if conf != nil {
			var more configs.Diagnostics
			sites, more = configs.LoadSites(conf.Sites.Dir, opt)
			diags = append(diags, more...)
		}
	}
	for _, file := range k.File {
		s, more := configs.LoadSite(file, opt)
		diags = append(diags, more...)
		if s != nil {
			sites = append(sites, s)
		}
	}
	diags = append(diags, configs.CheckSet(sites, conf)...)
	_, _ = fmt.Fprint(c.err, diags)
	if diags.HasErrors() {
		return errors.New("refused; nothing was changed")
	}
	return k.report(c, conf, sites)
}

func (k *checkCmd) report(c *console, conf *configs.Node, sites []*configs.Site) error {
	for _, s := range sites {
		_, _ = fmt.Fprintf(c.err, "site %s: ok, %d hostnames, %d origins\n", s.Name, len(s.Hostnames), len(s.Origins))
	}
	if conf == nil || k.Quiet {
		return nil
	}
	text, err := conf.EncodeYAML()
	if err != nil {
		return err
	}
	_, err = c.out.Write(text)
	return err
}
