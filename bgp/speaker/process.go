package speaker

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

// Process is a running speaker as its supervisor sees it.
type Process struct {
	// PID is for people to read.
	PID int
	// Stdin takes orders; the speaker ends when it is closed. Stdout
	// gives reports, Stderr lines for the log. Both end with the process.
	Stdin          io.WriteCloser
	Stdout, Stderr io.Reader
	// Kill ends the process at once. It may be called at any time until
	// Wait has returned.
	Kill func() error
	// Wait returns when the process has ended, with how if it did not
	// end well. It is called once, after Stdout and Stderr have ended.
	Wait func() error
}

// Self returns a Start for a ClientConfig that runs this very program,
// even if its file was replaced meanwhile, with the arguments given.
func Self(args ...string) func() (*Process, error) {
	return func() (*Process, error) {
		cmd := exec.Command("/proc/self/exe", args...)
		cmd.Args[0] = os.Args[0]
		return Start(cmd)
	}
}

// Start runs cmd as a speaker.
func Start(cmd *exec.Cmd) (*Process, error) {
	stdin, errIn := cmd.StdinPipe()
	stdout, errOut := cmd.StdoutPipe()
	stderr, errErr := cmd.StderrPipe()
	for _, err := range []error{errIn, errOut, errErr} {
		if err != nil {
			return nil, fmt.Errorf("start the speaker: %w", err)
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the speaker: %w", err)
	}
	return &Process{
		PID: cmd.Process.Pid, Stdin: stdin, Stdout: stdout, Stderr: stderr,
		Kill: cmd.Process.Kill, Wait: cmd.Wait,
	}, nil
}
