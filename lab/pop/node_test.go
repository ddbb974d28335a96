package pop

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/testneed"
)

// domain is what the names of all sites end with, so that one certificate
// does for them.
const domain = ".pop.example"

// pops counts the PoPs of this process: each has addresses of its own.
var pops atomic.Uint32

// pop is several nodes that are to become one. Every node has an address of
// its own and listens there on the ports that one would expect, so that it
// comes back to where it was.
type pop struct {
	dir   string
	roots *x509.CertPool
	// addr is a node's address, by its id.
	addr func(id int) string
	// command is the program's, for one node.
	command func(id int, args ...string) *exec.Cmd
	// dial opens connections from where the nodes can be reached.
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// seeds are the ids whose addresses every node is told.
	seeds []int
	// rest is added to every node file.
	rest string
	// nodes have been started, in that order.
	nodes []*node
}

// newPop makes what the nodes share: a secret, a certificate and the site
// documents, by file name.
func newPop(t testing.TB, sites map[string]string) *pop {
	t.Helper()
	testneed.Linux(t) // for the loopback addresses
	p := &pop{dir: t.TempDir(), roots: x509.NewCertPool(), seeds: []int{1, 2}, dial: (&net.Dialer{}).DialContext}
	block := fmt.Sprintf("127.%d.%d", 64+os.Getpid()%128, pops.Add(1)%256)
	p.addr = func(id int) string { return fmt.Sprintf("%s.%d", block, id) }
	p.command = func(_ int, args ...string) *exec.Cmd { return exec.Command(binary, args...) }
	p.write(t, "secret", strings.Repeat("a secret of the PoP ", 4))
	cert, key := selfSigned(t, "*"+domain)
	p.roots.AppendCertsFromPEM([]byte(cert))
	p.write(t, "site.crt", cert)
	p.write(t, "site.key", key)
	for name, text := range sites {
		p.write(t, filepath.Join("sites", name), text)
	}
	return p
}

// siteDoc is the document of a site, whose name is the first label of its
// host; more is added to it.
func siteDoc(name string, o *origin, more string) string {
	return fmt.Sprintf("hostnames: [%s]\ntls: { cert: { certificate: ../site.crt, key: ../site.key } }\norigins: [%s]\n%s\n",
		name+domain, strings.Join(o.urls(), ", "), more)
}

func (p *pop) write(t testing.TB, name, text string) {
	t.Helper()
	file := filepath.Join(p.dir, name)
	must(t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file, []byte(text), 0o600))
}

// spec is a node; what is not given is as all have it.
type spec struct {
	id            int
	name          string
	as            int    // the id that it says it has
	secret, sites string // relative to the PoP's folder
	pop           string // the name of the one that it says it stands in
	join          []int
	siblings      []spec // nodes of other PoPs
}

// complete gives a spec what it lacks.
func (p *pop) complete(s spec) spec {
	s.name = cmp.Or(s.name, fmt.Sprintf("n%d", s.id))
	s.as = cmp.Or(s.as, s.id)
	s.secret, s.sites, s.pop = cmp.Or(s.secret, "secret"), cmp.Or(s.sites, "sites"), cmp.Or(s.pop, "lab")
	if s.join == nil {
		s.join = p.seeds
	}
	return s
}

const nodeFile = `
node:    { id: %[1]d, name: %[2]s, pop: %[9]s }
listen:  { https: ["%[3]s:8443"], http: ["%[3]s:8080"], peer: "%[3]s:7443" }
admin:   { listen: "%[3]s:9080" }
sites:   { dir: %[4]s/%[5]s }
state:   %[6]s/state
origins: { allow: ["127.0.0.0/8", "10.0.0.0/8"] }
pop:     { listen: "%[3]s:7946", join: [%[7]s], secret: { file: %[4]s/%[8]s }, siblings: [%[10]s] }
log:     { access: %[6]s/access.log }
`

// crowded lets one address be all clients.
const crowded = "limits: { conns_per_client: 100000 }\n"

// limits are those of most tests, and more: a machine with two cores may be
// slow or stand still, and that is no other node's silence and no client's
// idleness: a thousand handshakes at once may take longer than one should.
func limits(more string) string {
	return "limits: { conns_per_client: 100000, handshake_time: 1m, header_time: 1m, relay_silence: 5s, relay_dead: 8s" + more + " }\n"
}

// file is the node file of a node.
func (p *pop) file(s spec, dir string) string {
	var join, siblings []string
	for _, id := range s.join {
		join = append(join, fmt.Sprintf("%q", p.addr(id)+":7946"))
	}
	for _, other := range s.siblings {
		siblings = append(siblings, fmt.Sprintf("{ id: %d, pop: %s, peer: %q }", other.id, other.pop, p.addr(other.id)+":7443"))
	}
	text := fmt.Sprintf(nodeFile, s.as, s.name, p.addr(s.id), p.dir, s.sites, dir,
		strings.Join(join, ", "), s.secret, s.pop, strings.Join(siblings, ", ")) + p.rest
	if !strings.Contains(p.rest, "limits:") {
		text += limits("")
	}
	if !strings.Contains(p.rest, "drain:") {
		text += "drain: { timeout: 1s }\n"
	}
	return text
}

// launch starts a node and does not wait for it.
func (p *pop) launch(t testing.TB, s spec) *node {
	t.Helper()
	s = p.complete(s)
	n := &node{pop: p, id: s.id, name: s.name, addr: p.addr(s.id), dir: filepath.Join(p.dir, s.name)}
	p.write(t, filepath.Join(s.name, "node.yaml"), p.file(s, n.dir))
	n.again(t)
	p.nodes = append(p.nodes, n)
	return n
}

// again starts a node on the files that it has.
func (n *node) again(t testing.TB) {
	t.Helper()
	n.process = launch(t, n.pop.command(n.id, "run", "--config", filepath.Join(n.dir, "node.yaml")))
}

// start starts nodes with the given ids and waits until they are one PoP
// with those that run already.
func (p *pop) start(t testing.TB, ids ...int) {
	t.Helper()
	for _, id := range ids {
		p.launch(t, spec{id: id})
	}
	p.agree(t)
}

// node returns the node with an id.
func (p *pop) node(id int) *node {
	return p.nodes[slices.IndexFunc(p.nodes, func(n *node) bool { return n.id == id })]
}

// running are the nodes that have not ended.
func (p *pop) running() []*node {
	return slices.DeleteFunc(slices.Clone(p.nodes), func(n *node) bool { return n.over() })
}

// agree waits until all running nodes are ready and have the same table
// with all of them in it.
func (p *pop) agree(t testing.TB) (took time.Duration) {
	t.Helper()
	return agree(t, p.running())
}

func agree(t testing.TB, nodes []*node) (took time.Duration) {
	t.Helper()
	return waitFor(t, "agreement on one table", func() bool {
		first, ok := nodes[0].ring()
		for _, n := range nodes {
			// First, as it notices a node that has ended.
			if ready := n.ready(t); !ready || !ok || first.owners() != len(nodes) {
				return false
			}
			if r, ok := n.ring(); !ok || r.Hash != first.Hash {
				return false
			}
		}
		return true
	})
}

// node is a running `landfall run`.
type node struct {
	*process
	pop  *pop
	id   int
	name string
	addr string
	dir  string
}

func (n *node) https() string { return n.addr + ":8443" }

func (n *node) over() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

// drainAndStop ends the node as an operator does.
func (n *node) drainAndStop(t testing.TB) {
	t.Helper()
	n.signal(t, syscall.SIGTERM)
	if code := n.wait(t); code != 0 {
		t.Errorf("%s: exit code %d after SIGTERM", n.name, code)
	}
}

// accessLog is what the node has written of requests so far.
func (n *node) accessLog(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, "access.log"))
	must(t, err)
	return string(text)
}

// selfSigned makes a certificate for a host, and its key, in PEM.
func selfSigned(t testing.TB, host string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	bytes, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}))
}
