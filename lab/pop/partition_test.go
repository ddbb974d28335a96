package pop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/landfall-cdn/landfall/internal/netns"
	"github.com/landfall-cdn/landfall/internal/testneed"
)

// hub is a namespace that all nodes' namespaces hang on, where the origin
// and the clients are too.
type hub struct {
	*netns.Namespace
	t *testing.T
}

// hubAddr is the hub's address on all links.
const hubAddr = "10.77.0.1"

// newHub makes namespaces for nodes with ids from 1, and has the PoP use
// them.
func newHub(t *testing.T, p *pop, nodes int) *hub {
	t.Helper()
	set, err := netns.NewSet("pop")
	must(t, err)
	t.Cleanup(func() { must(t, set.Close()) })
	center, err := set.Add("hub")
	must(t, err)
	h := &hub{Namespace: center, t: t}
	h.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	h.run("ip", "address", "add", hubAddr+"/32", "dev", "lo")
	spaces := map[int]*netns.Namespace{}
	for id := 1; id <= nodes; id++ {
		ns, err := set.Add(fmt.Sprintf("n%d", id))
		must(t, err)
		link := fmt.Sprintf("n%d", id)
		near := netip.MustParsePrefix(fmt.Sprintf("10.77.%d.1/24", id))
		far := netip.MustParsePrefix(fmt.Sprintf("10.77.%d.2/24", id))
		must(t, set.Link(
			netns.End{Namespace: center, Interface: link, Addresses: []netip.Prefix{near}},
			netns.End{Namespace: ns, Interface: "eth0", Addresses: []netip.Prefix{far}},
		))
		out, err := ns.Command(t.Context(), "ip", "route", "add", "default", "via", near.Addr().String()).CombinedOutput()
		if err != nil {
			t.Fatalf("route of %s: %v: %s", ns.Name, err, out)
		}
		spaces[id] = ns
	}
	p.addr = func(id int) string { return fmt.Sprintf("10.77.%d.2", id) }
	p.command = func(id int, args ...string) *exec.Cmd {
		return spaces[id].Command(context.Background(), binary, args...)
	}
	p.dial = h.dial
	return h
}

// run runs a command in the hub.
func (h *hub) run(name string, args ...string) {
	h.t.Helper()
	if out, err := h.Command(h.t.Context(), name, args...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}

// cut drops what the nodes of two halves send each other, without a word.
func (h *hub) cut(a, b []*node) { h.rules("add", a, b) }

// heal undoes cut.
func (h *hub) heal(a, b []*node) { h.rules("del", a, b) }

func (h *hub) rules(verb string, a, b []*node) {
	for _, x := range a {
		for _, y := range b {
			h.run("ip", "rule", verb, "from", x.addr, "to", y.addr, "blackhole")
			h.run("ip", "rule", verb, "from", y.addr, "to", x.addr, "blackhole")
		}
	}
}

// inside calls f on a thread that is in the hub; sockets that it opens are
// there for good.
func (h *hub) inside(f func() error) error {
	result := make(chan error)
	go func() {
		// The thread is not unlocked: it ends with the goroutine, so that
		// nobody else finds itself in the namespace.
		runtime.LockOSThread()
		result <- func() error {
			ns, err := os.Open("/run/netns/" + h.Name)
			if err != nil {
				return err
			}
			defer func() { _ = ns.Close() }()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			return f()
		}()
	}()
	return <-result
}

func (h *hub) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = h.inside(func() error {
		c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

func (h *hub) listen() (ln net.Listener, err error) {
	err = h.inside(func() error {
		ln, err = net.Listen("tcp", hubAddr+":0")
		return err
	})
	return ln, err
}

// TestPartition: two halves of a PoP that cannot hear each other keep
// serving, and become one again. Nothing is ever served longer than its
// freshness allows.
func TestPartition(t *testing.T) {
	testneed.Linux(t)
	testneed.Root(t)
	testneed.Command(t, "ip", "iproute2")
	p := newPop(t, nil)
	h := newHub(t, p, 4)
	o := newOriginOn(t, 1, h.listen)
	p.write(t, "sites/shop.yaml", siteDoc("shop", o, ""))
	// Every request across the cut waits for as long, one after the other.
	p.rest = "limits: { conns_per_client: 100000, relay_silence: 2s, relay_dead: 3s }\n"
	p.start(t, 1, 2, 3, 4)
	left, right := p.nodes[:2], p.nodes[2:]

	v := newReaders(t, p.nodes)
	v.everything("whole")
	if n := o.count("whole-keep0"); n != 1 {
		t.Errorf("%d fetches in a whole PoP", n)
	}

	h.cut(left, right)
	began := time.Now()
	v.everything("cut") // while nobody knows yet
	took := max(agree(t, left), agree(t, right))
	t.Logf("cut: each half has its own table after %v", took.Round(time.Millisecond))
	took = waitFor(t, "relay that is cut", func() bool {
		l, ok := left[0].list(right[0].name)
		return ok && l.Relay == "unreachable"
	})
	t.Logf("cut: the relay is out after %v more", took.Round(time.Millisecond))
	v.everything("halves")
	for i := range v.objects {
		name := fmt.Sprintf("halves-keep%d", i)
		if n := o.count(name); n != 2 {
			t.Errorf("%s was fetched %d times by two halves", name, n)
		}
	}
	// A change that only one half hears of.
	url := "https://shop" + domain + "/o/whole-short0?ttl=3"
	do(t, v.clients[0], http.MethodPost, url, "change it")
	v.everything("whole")

	h.heal(left, right)
	healed := time.Now()
	p.agree(t)
	t.Logf("healed: one table after %v, %v after the cut", time.Since(healed).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	v.everything("whole")
	// What TCP has given up for a while comes later than gossip.
	tries := 0
	waitFor(t, "one fetch for all nodes", func() bool {
		tries++
		prefix := fmt.Sprintf("healed%d", tries)
		v.everything(prefix)
		for i := range v.objects {
			if o.count(fmt.Sprintf("%s-keep%d", prefix, i)) != 1 {
				return false
			}
		}
		return true
	})
	t.Logf("healed: one fetch for all nodes after %v", time.Since(healed).Round(time.Millisecond))
	for i, n := range p.nodes {
		waitFor(t, "new version at "+n.name, func() bool { return v.read(v.clients[i], url, 3).header.Get("X-Version") == "1" })
	}
	t.Logf("%d answers, none older than its freshness; the oldest had used %.0f%% of it", v.answers, 100*v.oldest)
}

// readers ask every node for the same objects, and look at the age of each
// answer.
type readers struct {
	t       *testing.T
	clients []*http.Client
	objects int

	mu      sync.Mutex
	answers int
	oldest  float64 // the largest part of its freshness that an answer had used
}

func newReaders(t *testing.T, nodes []*node) *readers {
	v := &readers{t: t, objects: 10}
	for _, n := range nodes {
		v.clients = append(v.clients, n.client(t, "h2"))
	}
	return v
}

// everything asks every node for objects that are fresh for long and for
// ones that are not.
func (v *readers) everything(prefix string) {
	v.t.Helper()
	var all sync.WaitGroup
	for _, c := range v.clients {
		all.Go(func() {
			for i := range v.objects {
				v.read(c, fmt.Sprintf("https://shop%s/o/%s-keep%d?ttl=3600", domain, prefix, i), 3600)
				v.read(c, fmt.Sprintf("https://shop%s/o/%s-short%d?ttl=3", domain, prefix, i), 3)
			}
		})
	}
	all.Wait()
}

// read fetches a URL and holds the answer to its lifetime in seconds. What
// was fresh when the request arrived had been made that long before it was
// sent at most; a second is what the Age field's whole seconds may hide.
func (v *readers) read(c *http.Client, url string, ttl int) got {
	sent := time.Now()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		v.t.Error(err)
		return got{}
	}
	g, err := fetch(c, req)
	if err != nil || g.status != http.StatusOK {
		v.t.Errorf("%s: %d, %v", url, g.status, err)
		return g
	}
	made, err := strconv.ParseInt(g.header.Get("X-Made"), 10, 64)
	if err != nil {
		v.t.Errorf("%s: %v", url, err)
		return g
	}
	old := sent.Sub(time.Unix(0, made)).Seconds()
	age, _ := strconv.Atoi(g.header.Get("Age"))
	if old > float64(ttl)+1 || age > ttl {
		v.t.Errorf("%s: %.1f s old with Age %d, and fresh for %d s: %v", url, old, age, ttl, g.header)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers++
	v.oldest = max(v.oldest, old/float64(ttl))
	return g
}
