// Package netns makes network namespaces with links between them, for
// tests and labs that need several hosts on one machine. It owns what it
// makes, processes in there included, and removes all of it, also what an
// earlier process of the same prefix left. It needs root and iproute2 on
// Linux, and never touches a namespace of another prefix.
package netns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrUnsupported says that this machine or user cannot make namespaces;
// the error that wraps it says what is missing.
var ErrUnsupported = errors.New("network namespaces are not available")

const (
	// commandLimit bounds one call of ip(8).
	commandLimit = 10 * time.Second
	// mounts is where ip(8) keeps namespaces by name.
	mounts = "/run/netns"
	// killRounds is how often Close looks for processes again: one that was
	// about to be started is not in the list before it is.
	killRounds = 20
)

// Set is a group of namespaces that are removed together. Its methods
// are not safe for concurrent use.
type Set struct {
	prefix string
	spaces []*Namespace
}

// NewSet returns an empty set. The names of its namespaces start with
// the prefix and the pid of this process, so that sets of several
// processes do not meet.
func NewSet(prefix string) (*Set, error) {
	if err := able(); err != nil {
		return nil, err
	}
	return &Set{prefix: fmt.Sprintf("%s%d-", prefix, os.Getpid())}, nil
}

// able says what is missing for namespaces, nil when nothing is.
func able() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: needs root", ErrUnsupported)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("%w: needs ip(8) of iproute2", ErrUnsupported)
	}
	return nil
}

// Named returns a set with whatever namespaces there are already whose
// names start with the prefix: what is left of an earlier process, or what
// a running one has. It is for who has the prefix to itself.
func Named(prefix string) (*Set, error) {
	if err := able(); err != nil {
		return nil, err
	}
	s := &Set{prefix: prefix}
	entries, err := os.ReadDir(mounts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the namespaces of this machine: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			s.spaces = append(s.spaces, &Namespace{Name: e.Name()})
		}
	}
	return s, nil
}

// Len is the number of namespaces in the set.
func (s *Set) Len() int { return len(s.spaces) }

// Namespace is one of a Set: a host of its own as far as the network
// goes, with the loopback up.
type Namespace struct {
	// Name is what ip netns calls it.
	Name string
}

// Add makes a namespace.
func (s *Set) Add(name string) (*Namespace, error) {
	ns := &Namespace{Name: s.prefix + name}
	if err := ip("netns", "add", ns.Name); err != nil {
		return nil, err
	}
	s.spaces = append(s.spaces, ns)
	return ns, ip("-n", ns.Name, "link", "set", "lo", "up")
}

// End is one end of a link.
type End struct {
	Namespace *Namespace
	// Interface is its name, at most 15 bytes.
	Interface string
	// Addresses it gets, each with the length of its network.
	Addresses []netip.Prefix
}

// Link connects two namespaces by a cable and brings it up.
func (s *Set) Link(a, b End) error {
	err := ip("link", "add", "name", a.Interface, "netns", a.Namespace.Name,
		"type", "veth", "peer", "name", b.Interface, "netns", b.Namespace.Name)
	if err != nil {
		return err
	}
	for _, end := range []End{a, b} {
		for _, address := range end.Addresses {
			if err := end.Namespace.AddAddress(end.Interface, address); err != nil {
				return err
			}
		}
		if err := ip("-n", end.Namespace.Name, "link", "set", end.Interface, "up"); err != nil {
			return err
		}
	}
	return nil
}

// AddAddress gives an interface an address, which can be used at once.
func (n *Namespace) AddAddress(link string, address netip.Prefix) error {
	args := []string{"-n", n.Name, "address", "add", address.String(), "dev", link}
	if address.Addr().Is6() {
		args = append(args, "nodad") // nobody else is there to have it
	}
	return ip(args...)
}

// Command returns a command that runs in the namespace; its process is
// the program itself, no wrapper. Close ends it.
func (n *Namespace) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name, program}, args...)...)
}

// Batch runs commands of ip(8) in the namespace, in order, up to the first
// that fails. It is one process for all of them.
func (n *Namespace) Batch(commands ...string) error {
	return run(strings.NewReader(strings.Join(commands, "\n")), "-n", n.Name, "-batch", "-")
}

// Set writes settings of the namespace's network, by their paths below
// /proc/sys/net such as ipv4/ip_forward.
func (n *Namespace) Set(values map[string]string) error {
	return n.Do(func() error {
		for name, value := range values {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
				return fmt.Errorf("set %s in namespace %s: %w", name, n.Name, err)
			}
		}
		return nil
	})
}

// Close ends every process in the namespaces and removes them. It goes on
// after an error and returns all of them.
func (s *Set) Close() error {
	var errs []error
	for range killRounds {
		running := false
		for _, ns := range s.spaces {
			left, err := ns.killAll()
			errs = append(errs, err)
			running = running || left > 0
		}
		if !running {
			break
		}
	}
	for _, ns := range s.spaces {
		errs = append(errs, ip("netns", "delete", ns.Name))
	}
	s.spaces = nil
	return errors.Join(errs...)
}

// killAll returns how many processes there were.
func (n *Namespace) killAll() (found int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", "netns", "pids", n.Name).Output()
	if err != nil {
		return 0, fmt.Errorf("list the processes of namespace %s: %w", n.Name, err)
	}
	var errs []error
	for _, field := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(field)
		if err == nil && pid != os.Getpid() {
			found++
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			errs = append(errs, fmt.Errorf("end process %s of namespace %s: %w", field, n.Name, err))
		}
	}
	return found, errors.Join(errs...)
}

func ip(args ...string) error { return run(nil, args...) }

func run(in io.Reader, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", args...)
	cmd.Stdin = in
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
