package main

import (
	"os"

	"go.uber.org/zap/zapcore"

	"github.com/landfall-cdn/landfall/bgp/speaker"
	"github.com/landfall-cdn/landfall/internal/obs"
)

type speakerCmd struct {
	Listen bool `help:"Keep the privilege to listen at port 179."`
}

// Run is the BGP speaker: told what to announce on standard input, as long
// as beats come.
func (c speakerCmd) Run() error {
	log := obs.NewLogger(zapcore.AddSync(os.Stderr), zapcore.InfoLevel)
	return speaker.Main(log, speaker.Needs{Listen: c.Listen})
}
