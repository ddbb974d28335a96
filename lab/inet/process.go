package inet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/landfall-cdn/landfall/internal/netns"
)

// process is one program of the lab. It is not started again when it ends:
// its end may be what somebody wants to see.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended and was waited for
}

// processes are those that a supervisor has started.
type processes struct {
	// Static.
	dir string

	waiting sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	byName map[string]*process
}

func newProcesses(dir string) *processes {
	return &processes{dir: dir, byName: map[string]*process{}}
}

// start starts a program in a namespace. What it says goes to a file of
// its name in logs.
func (ps *processes) start(name string, cmd *exec.Cmd) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.byName[name]; p != nil && p.running() {
		return fmt.Errorf("%s runs already, as process %d", name, p.cmd.Process.Pid)
	}
	log, err := os.OpenFile(filepath.Join(ps.dir, "logs", name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	ps.byName[name] = p
	ps.waiting.Go(func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.done)
	})
	return nil
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal to a process that runs.
func (ps *processes) signal(name string, s syscall.Signal) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.byName[name]
	if p == nil || !p.running() {
		return fmt.Errorf("%s does not run", name)
	}
	return p.cmd.Process.Signal(s)
}

// pids are the processes that run, by name.
func (ps *processes) pids() map[string]int {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	out := map[string]int{}
	for name, p := range ps.byName {
		if p.running() {
			out[name] = p.cmd.Process.Pid
		}
	}
	return out
}

// wait waits until all have ended; closing the namespaces ends them.
func (ps *processes) wait() { ps.waiting.Wait() }

// command is a program in a namespace, detached from any terminal.
func command(ns *netns.Namespace, program string, args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", ns.Name, program}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}
