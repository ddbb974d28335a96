package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel end cmd when this process is killed and
// cannot do so itself, and keeps the terminal's Ctrl-C away from it: that it
// is to end, it hears from its parent, once.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
