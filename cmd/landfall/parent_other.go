//go:build !linux

package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent keeps the terminal's Ctrl-C away from cmd: that it is to
// end, it hears from its parent, once. It outlives a parent that is killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
