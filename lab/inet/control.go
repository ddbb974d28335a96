package inet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// controlTime bounds a question to a lab's supervisor.
const controlTime = 30 * time.Second

// signals are those that a process of the lab can be sent.
var signals = map[string]syscall.Signal{
	"KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "TERM": syscall.SIGTERM,
}

// serve answers on the lab's socket; only root gets there. It returns how
// to end that.
func (s *supervision) serve() (stop func() error, err error) {
	ln, err := net.Listen("unix", filepath.Join(s.lab.Dir, sockFile))
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(filepath.Join(s.lab.Dir, sockFile), 0o600); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pids", func(w http.ResponseWriter, _ *http.Request) {
		pids := s.processes.pids()
		pids[Supervisor] = os.Getpid()
		_ = json.NewEncoder(w).Encode(pids) // who asked may have gone
	})
	mux.HandleFunc("POST /start/{node}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, s.startNode(r.PathValue("node")))
	})
	mux.HandleFunc("POST /signal/{name}/{signal}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, s.processes.signal(r.PathValue("name"), signals[r.PathValue("signal")]))
	})
	var once sync.Once
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, nil)
		once.Do(func() { close(s.down) })
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: controlTime}
	var serving sync.WaitGroup
	serving.Go(func() { err = server.Serve(ln) })
	return func() error {
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		end := server.Shutdown(grace)
		serving.Wait()
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		return errors.Join(end, err)
	}, nil
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// ask asks the lab's supervisor, and reads the answer into out unless that
// is nil.
func (l *Lab) ask(ctx context.Context, method, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(l.Dir, sockFile))
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("the supervisor of lab %s does not answer: %w; remove what is left of it with: landfall lab down --name %[1]s", l.Name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= http.StatusBadRequest:
		return errors.New(string(bytes.TrimSpace(body)))
	case out == nil:
		return nil
	}
	return json.Unmarshal(body, out)
}

// Supervisor is the name of the process that keeps the lab.
const Supervisor = "supervisor"

// Pids are the processes of the lab that run: nodes, routers, the origin
// and the supervisor.
func (l *Lab) Pids(ctx context.Context) (out map[string]int, err error) {
	err = l.ask(ctx, http.MethodGet, "/pids", &out)
	return out, err
}

// Start starts a node that does not run.
func (l *Lab) Start(ctx context.Context, node string) error {
	if l.Plan.Node(node) == nil {
		return fmt.Errorf("no node %s", node)
	}
	return l.ask(ctx, http.MethodPost, "/start/"+node, nil)
}

// Signal sends a process KILL, STOP, CONT or TERM.
func (l *Lab) Signal(ctx context.Context, name, signal string) error {
	if _, ok := signals[signal]; !ok {
		return fmt.Errorf("signal %s: expected KILL, STOP, CONT or TERM", signal)
	}
	return l.ask(ctx, http.MethodPost, "/signal/"+name+"/"+signal, nil)
}

// Down ends the lab of a name, and removes what an earlier one has left. It
// reports whether there was anything, and returns once nothing is.
func Down(ctx context.Context, name string) (found bool, err error) {
	if err := CheckName(name); err != nil {
		return false, err
	}
	up, err := running(name)
	if err != nil {
		return false, err
	}
	if up {
		l := &Lab{Options: Options{Name: name}, Dir: Dir(name)}
		// One that does not answer is just starting, or just ending.
		asked := l.ask(ctx, http.MethodPost, "/down", nil)
		if err := gone(ctx, name); err != nil {
			return true, errors.Join(err, asked)
		}
	}
	left, err := Sweep(name, false)
	return up || left, err
}

// gone waits until the lab has no supervisor.
func gone(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, controlTime)
	defer cancel()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if up, err := running(name); err != nil || !up {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return fmt.Errorf("lab %s does not end", name)
		}
	}
}
