package inet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// reaper is a process that cleans up when the supervisor cannot: it holds
// the other end of a pipe that the kernel closes with the supervisor,
// whatever ends it.
type reaper struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// orderly is what a supervisor says when it has cleaned up itself.
const orderly = "done\n"

func startReaper(self string, opts Options) (*reaper, error) {
	text, err := json.Marshal(opts)
	if err != nil {
		return nil, err
	}
	r := &reaper{cmd: exec.Command(self, "lab", "reap", string(text))}
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if r.pipe, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reaper: %w", err)
	}
	return r, nil
}

// dismiss ends the reaper, who has nothing left to do.
func (r *reaper) dismiss() error {
	_, err := io.WriteString(r.pipe, orderly)
	return errors.Join(err, r.pipe.Close(), r.cmd.Wait())
}

// Reap is that process: it waits for the end of in, and removes what is left
// of the lab unless it was told that nothing is.
func Reap(text string, in io.Reader) error {
	var opts Options
	if err := json.Unmarshal([]byte(text), &opts); err != nil {
		return fmt.Errorf("the lab's options: %w", err)
	}
	said, err := io.ReadAll(in)
	if err == nil && string(said) == orderly {
		return nil
	}
	return clear(opts.Name, opts.Keep)
}

// clear sweeps a lab that has no supervisor any more. Whoever has the lock
// already, a new lab of that name or somebody else who clears, does it
// instead.
func clear(name string, keep bool) error {
	held, err := lock(name)
	if errors.Is(err, errLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer held.Close()
	_, err = Sweep(name, keep)
	if keep {
		err = errors.Join(err, os.RemoveAll(held.Name()))
	}
	return err
}
