//go:build !linux

package main

import (
	"os"
	"os/exec"
	"syscall"
)

func ownGroup(*exec.Cmd) {}

func signalGroup(p *os.Process, s syscall.Signal) { _ = p.Signal(s) }
