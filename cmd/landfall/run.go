package main

import (
	"errors"
	"fmt"
	"os"

	"go.uber.org/zap/zapcore"

	"github.com/landfall-cdn/landfall/cmd/landfall/internal/node"
	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/internal/obs"
)

type runCmd struct {
	Config   string `required:"" type:"path" placeholder:"FILE" help:"Node file."`
	Fallback string `hidden:"" help:"Site for clients that name none; for landfall dev."`
}

// Run runs one node until a signal ends it.
func (r *runCmd) Run(c *console) error {
	conf, diags := configs.LoadNode(r.Config)
	if conf != nil {
		diags = append(diags, configs.CheckSet(nil, conf)...)
	}
	if diags.HasErrors() {
		_, _ = fmt.Fprint(c.err, diags)
		return errors.New("the node file is refused; nothing was started")
	}
	level, err := zapcore.ParseLevel(conf.Log.Level)
	if err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	log := obs.NewLogger(zapcore.AddSync(os.Stderr), level)
	defer func() { _ = log.Sync() }() // standard error needs none
	defer obs.Redirect(log)()
	for _, d := range diags {
		log.Warn(d.String())
	}
	fitMemory(conf, log)
	n, err := node.New(conf, node.Options{Log: log, Version: version, Fallback: r.Fallback})
	if err != nil {
		return err
	}
	return n.Run(c.ctx, c.urgent)
}
