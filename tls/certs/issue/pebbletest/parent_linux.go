package pebbletest

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel end cmd when the test process is killed
// and cannot clean up.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
