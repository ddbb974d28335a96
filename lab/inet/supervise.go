package inet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/landfall-cdn/landfall/internal/netns"
)

// settleTime bounds how long a lab may take until everything is as it
// should be.
const settleTime = 90 * time.Second

// Progress is what a supervisor tells whoever started it, one a line.
type Progress struct {
	Stage string `json:"stage,omitempty"`
	Ready bool   `json:"ready,omitempty"`
	Error string `json:"error,omitempty"`
}

// The descriptors that a supervisor inherits beside the standard ones.
const lockFD = 3

// Up starts a lab and returns once every session is established and every
// client lands at its PoP. self is this program, with the verbs supervise
// and reap of `landfall lab`. say is told what happens.
func Up(ctx context.Context, self string, opts Options, say func(string)) error {
	if err := CheckName(opts.Name); err != nil {
		return err
	}
	if _, err := software(opts.Routers); err != nil {
		return err
	}
	held, err := lock(opts.Name)
	if errors.Is(err, errLocked) {
		return fmt.Errorf("lab %s is up already; landfall lab down --name %[1]s ends it, and --name starts another beside it", opts.Name)
	}
	if err != nil {
		return err
	}
	defer held.Close()
	if err := sweepNamespaces(opts.Name); err != nil {
		return err
	}
	cmd, progress, err := supervisor(self, opts, held)
	if err != nil {
		return err
	}
	return follow(ctx, opts.Name, cmd, progress, say)
}

// supervisor starts the process that keeps the lab, in a session of its
// own: it outlives this one.
func supervisor(self string, opts Options, held *os.File) (*exec.Cmd, io.ReadCloser, error) {
	text, err := json.Marshal(opts)
	if err != nil {
		return nil, nil, err
	}
	logs := filepath.Join(Dir(opts.Name), "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, nil, err
	}
	log, err := os.Create(filepath.Join(logs, "supervisor.log"))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	cmd := exec.Command(self, "lab", "supervise", string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{held}
	progress, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, progress, cmd.Start()
}

// follow reads what the supervisor tells until it is ready or has failed.
func follow(ctx context.Context, name string, cmd *exec.Cmd, progress io.ReadCloser, say func(string)) error {
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()
	lines := json.NewDecoder(progress)
	for {
		var p Progress
		switch err := lines.Decode(&p); {
		case err != nil:
			_ = cmd.Wait() // how it ended says less than that it did
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("the supervisor of lab %s ended: %w; with --keep its logs stay in %s", name, err, Dir(name))
		case p.Error != "":
			_ = cmd.Wait()
			return errors.New(p.Error)
		case p.Ready:
			return cmd.Process.Release()
		}
		say(p.Stage)
	}
}

// Supervise is the process that keeps a lab: it makes everything, tells out
// how far it is, and stays until ctx is done or somebody asks it to end. It
// inherits the lab's lock. Whatever happens, nothing of the lab is left when
// it returns; and when it is killed, its reaper sees to that.
func Supervise(ctx context.Context, self string, text string, out *os.File) error {
	syscall.CloseOnExec(lockFD) // a child that had it would hold the lock for as long as it lives
	held := os.NewFile(lockFD, lockFile)
	defer held.Close()
	var opts Options
	if err := json.Unmarshal([]byte(text), &opts); err != nil {
		return fmt.Errorf("the lab's options: %w", err)
	}
	tell := json.NewEncoder(out)
	s := &supervision{
		lab:  &Lab{Options: opts, Plan: NewPlan(opts.Name), Dir: Dir(opts.Name)},
		tell: func(p Progress) { _ = tell.Encode(p) }, // who started it may have gone
		down: make(chan struct{}),
	}
	reaper, err := startReaper(self, opts)
	if err != nil {
		return err
	}
	err = s.run(ctx)
	if err != nil {
		s.tell(Progress{Error: err.Error()})
	}
	return errors.Join(err, reaper.dismiss())
}

// supervision is a lab being kept.
type supervision struct {
	// Static after run began.
	lab       *Lab
	tell      func(Progress)
	set       *netns.Set
	processes *processes

	down chan struct{} // closed when somebody asks for the end
}

func (s *supervision) run(ctx context.Context) (err error) {
	if s.set, err = netns.Named(spaces(s.lab.Name)); err != nil {
		return err
	}
	s.processes = newProcesses(s.lab.Dir)
	defer func() { err = errors.Join(err, s.clean()) }()
	for _, stage := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"files", func(context.Context) error { return s.files() }},
		{"namespaces and links", func(context.Context) error { return s.lab.wire(s.set) }},
		{"routers", s.routers},
		{"nodes and origin", func(context.Context) error { return s.hosts() }},
	} {
		s.tell(Progress{Stage: stage.name})
		if err := stage.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", stage.name, err)
		}
	}
	control, err := s.serve()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, control()) }()
	s.tell(Progress{Stage: "sessions and routes"})
	settling, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := s.lab.Settle(settling); err != nil {
		return err
	}
	s.tell(Progress{Ready: true})
	select {
	case <-ctx.Done():
	case <-s.down:
	}
	return nil
}

func (s *supervision) files() error {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	if err := s.lab.files(hex.EncodeToString(secret)); err != nil {
		return err
	}
	return s.lab.writeInfo()
}

func (s *supervision) routers(ctx context.Context) error {
	for i := range s.lab.Plan.Routers {
		r := &s.lab.Plan.Routers[i]
		if err := s.lab.linked(ctx, r); err != nil {
			return err
		}
		if err := s.lab.routing().configure(ctx, s.lab, r, Policy{}, false); err != nil {
			return err
		}
		for _, d := range s.lab.routing().daemons(s.lab, r) {
			if err := s.processes.start(d.name, command(s.lab.space(r.Name), d.program, d.args...)); err != nil {
				return err
			}
			if d.socket == "" {
				continue
			}
			if err := d.listening(ctx, d.socket); err != nil {
				return err
			}
		}
	}
	for i := range s.lab.Plan.Routers {
		if err := s.lab.routing().started(ctx, s.lab, &s.lab.Plan.Routers[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *supervision) hosts() error {
	if err := s.startOrigin(); err != nil {
		return err
	}
	for _, n := range s.lab.Plan.Nodes {
		if err := s.startNode(n.Name); err != nil {
			return err
		}
	}
	return nil
}

func (s *supervision) startOrigin() error {
	return s.processes.start("origin", command(s.lab.space("o"), s.lab.Program, "lab", "origin", fmt.Sprintf(":%d", OriginPort)))
}

func (s *supervision) startNode(name string) error {
	file := filepath.Join(s.lab.NodeDir(name), "node.yaml")
	return s.processes.start(name, command(s.lab.Node(name), s.lab.Program, "run", "--config", file))
}

// clean removes everything.
func (s *supervision) clean() error {
	err := s.set.Close()
	s.processes.wait()
	if s.lab.Keep {
		return errors.Join(err, os.Remove(filepath.Join(s.lab.Dir, infoFile)))
	}
	return errors.Join(err, os.RemoveAll(s.lab.Dir))
}

func sweepNamespaces(name string) error {
	set, err := netns.Named(spaces(name))
	if err != nil {
		return err
	}
	return set.Close()
}
