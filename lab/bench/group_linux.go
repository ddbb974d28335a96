package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes a command lead its own process group, and end when the
// bench is killed and cannot clean up.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// signalGroup signals a process and its children; it does nothing when
// they have ended.
func signalGroup(p *os.Process, s syscall.Signal) { _ = syscall.Kill(-p.Pid, s) }
