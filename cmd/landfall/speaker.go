package main

import (
	"os"

	"go.uber.org/zap/zapcore"

	"github.com/landfall-cdn/landfall/bgp/speaker"
	"github.com/landfall-cdn/landfall/internal/obs"
)

type speakerCmd struct{}

// Run is the BGP speaker: told what to announce on standard input, as long
// as beats come.
func (speakerCmd) Run() error {
	log := obs.NewLogger(zapcore.AddSync(os.Stderr), zapcore.InfoLevel)
	return speaker.Main(log)
}
