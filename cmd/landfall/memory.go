package main

import (
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/configs"
	"github.com/landfall-cdn/landfall/internal/memlimit"
)

// gcPercent lets the heap grow by half between two collections. Nearly all
// of it are bodies, which the collector need not look into, so that it may
// run more often than Go's default has it; and an answer from memory makes
// no garbage at all.
const gcPercent = 50

// fitMemory fits the collector to what the machine gives this process.
func fitMemory(conf *configs.Node, log *zap.Logger) {
	fit, err := memlimit.Apply(memlimit.Config{Cache: conf.Cache.Memory, GCPercent: gcPercent})
	if err != nil {
		log.Warn("memory", zap.Error(err))
	}
	if fit.Warning != "" {
		log.Warn(fit.Warning)
	}
	log.Info("memory", zap.Int64("group_limit", fit.Group), zap.Int64("go_limit", fit.Limit), zap.Int("gc_percent", fit.GCPercent))
}
