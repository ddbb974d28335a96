package inet

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/landfall-cdn/landfall/internal/netns"
)

// Dial opens a TCP connection from a namespace, from a local port unless
// that is 0. A connection from a port of its own ends with a reset, so that
// the port can be used again at once, also when the connection came about
// just as ctx ended.
func Dial(ctx context.Context, from *netns.Namespace, port int, addr netip.AddrPort) (conn net.Conn, err error) {
	d := net.Dialer{}
	if port != 0 {
		d.LocalAddr = &net.TCPAddr{Port: port}
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			return errors.Join(c.Control(func(fd uintptr) {
				err = syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
			}), err)
		}
	}
	network := "tcp4" // [::] is both families', and one of them may have the port
	if addr.Addr().Is6() {
		network = "tcp6"
	}
	err = from.Do(func() (err error) {
		conn, err = d.DialContext(ctx, network, addr.String())
		return err
	})
	return conn, err
}

// ListenPacket opens a UDP socket in a namespace.
func ListenPacket(from *netns.Namespace, network string) (conn net.PacketConn, err error) {
	err = from.Do(func() (err error) {
		conn, err = net.ListenPacket(network, ":0") //nolint:noctx // it does not wait
		return err
	})
	return conn, err
}

// Roots are the authorities that the certificates of the nodes are verified
// with: one for the whole lab, as all nodes share a secret.
func (l *Lab) Roots() (*x509.CertPool, error) {
	var errs []error
	for _, n := range l.Plan.Nodes {
		text, err := os.ReadFile(filepath.Join(l.NodeDir(n.Name), "state", "ca", "root.crt"))
		if err == nil {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(text)
			return pool, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// glance bounds one look at who answers.
const glance = time.Second

// quick fetches the small object over plain HTTP on a connection of its
// own, and returns the id that the answering node gave the request.
func quick(ctx context.Context, from *netns.Namespace, to netip.Addr) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, glance)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return Dial(ctx, from, 0, netip.AddrPortFrom(to, 80))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+Host+PathQuick, nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", fmt.Errorf("fetch from %s: %w", to, err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if id = resp.Header.Get("X-Request-Id"); id == "" && err == nil {
		err = fmt.Errorf("fetch from %s: the answer has no x-request-id: status %d", to, resp.StatusCode)
	}
	return id, err
}

// idPrefix is how many characters of a request's id are the same for all
// requests of one process.
const idPrefix = 10

// Who tells which node has answered, by the ids that it gives requests:
// their beginning is the process's own. It asks each node at its own
// address when it meets an id that it has not seen.
type Who struct {
	// Static.
	lab *Lab

	mu sync.Mutex
	// Guarded by mu.
	nodes map[string]string // name by beginning of an id
}

// NewWho returns one that knows no node yet.
func NewWho(l *Lab) *Who { return &Who{lab: l, nodes: map[string]string{}} }

// Node returns the name of the node that gave out an id, "" when none of
// those that answer did.
func (w *Who) Node(ctx context.Context, id string) string {
	if len(id) < idPrefix {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if name, ok := w.nodes[id[:idPrefix]]; ok {
		return name
	}
	ids := make([]string, len(w.lab.Plan.Nodes))
	var all sync.WaitGroup
	for i := range w.lab.Plan.Nodes {
		n := &w.lab.Plan.Nodes[i]
		all.Go(func() {
			ids[i], _ = quick(ctx, w.lab.space(n.Pop), n.Address(V4)) // one that is silent is not who answered
		})
	}
	all.Wait()
	for i, found := range ids {
		if len(found) >= idPrefix {
			w.nodes[found[:idPrefix]] = w.lab.Plan.Nodes[i].Name
		}
	}
	return w.nodes[id[:idPrefix]]
}

// Land returns the node that a client's next connection reaches.
func (w *Who) Land(ctx context.Context, network string, f Family) (node string, err error) {
	if w.lab.Plan.Client(network) == nil {
		return "", fmt.Errorf("no client %s", network)
	}
	id, err := quick(ctx, w.lab.Client(network), f.VIP())
	if err != nil {
		return "", err
	}
	if node = w.Node(ctx, id); node == "" {
		return "", fmt.Errorf("who answered %s over %s is not known: request %s", network, f, id)
	}
	return node, nil
}
