package members

import (
	"context"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/landfall-cdn/landfall/affinity"
)

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%q, want it to say %q", got, want)
	}
}

func portOf(n *node) string {
	_, port, _ := net.SplitHostPort(n.Addr().String())
	return port
}

// TestTwoNodesWithOneID starts a second node 2 in a PoP: the first one and
// the others do not notice, it runs alone and says so, and when the first
// one ends it is let in, but not at once: its name is another one.
func TestTwoNodesWithOneID(t *testing.T) {
	tuned := func(c Config) Config {
		c.Tuning.Quarantine = 6 * time.Second // long enough to be noticed
		return c
	}
	one := start(t, tuned(configOf(t, 1)))
	two := start(t, tuned(configOf(t, 2, one)))
	one.sees("1 active, 2 active")
	two.sees("1 active, 2 active")

	conf := tuned(configOf(t, 2, one))
	conf.Self.Name = "impostor"
	conf.Listen = netip.MustParseAddrPort("127.0.7.99:0")
	other := start(t, conf)
	for _, n := range []*node{one, two} {
		n.complains(`node 2 "impostor" at `+other.Addr().String(), `the id of node 2 "node-2" at `+two.Addr().String(), "node.id of its own")
		n.sawOnly(2, "1 active, 2 active")
		if got := n.metric("landfall_members_refused_total", "id"); got != 1 {
			t.Errorf("node %d: %v refusals counted", n.conf.Self.ID, got)
		}
	}
	other.sees("2 active")
	other.complains("this node: ", "runs alone")
	if got := other.metric("landfall_members_aside", ""); got != 1 {
		t.Errorf("aside is %v", got)
	}
	var listed []string
	for _, i := range one.List() {
		listed = append(listed, i.Name)
	}
	if got := strings.Join(listed, " "); got != "node-1 impostor node-2" {
		t.Errorf("listed %q", got)
	}

	two.stop()
	one.saw("1 active, 2 gone")
	one.complains("impostor", "which is gone")
	v := one.sees("1 active, 2 active")
	if v.Members[1].Name != "impostor" {
		t.Errorf("node 2 is %q", v.Members[1].Name)
	}
	other.sees("1 active, 2 active")
	other.content()
	one.content()
}

func TestTwoNodesWithOneName(t *testing.T) {
	one := start(t, configOf(t, 1))
	two := start(t, configOf(t, 2, one))
	one.sees("1 active, 2 active")
	two.sees("1 active, 2 active")
	conf := configOf(t, 3, two)
	conf.Self.Name = "node-1"
	three := start(t, conf)
	for _, n := range []*node{one, two} {
		n.complains(`node 3 "node-1"`, "has the name of node 1", "node.name of its own")
		n.sawOnly(2, "1 active, 2 active")
		if got := n.metric("landfall_members_refused_total", "name"); got != 1 {
			t.Errorf("node %d: %v refusals counted", n.conf.Self.ID, got)
		}
	}
	three.sees("3 active")
	one.stop()
	two.sees("2 active, 3 active") // the name is free at once: packets do not carry it
	three.sees("2 active, 3 active")
}

// TestNodesWithOneIDMeet joins two PoPs of one, both with nodes of id 1
// that run for some time: the older one stays.
func TestNodesWithOneIDMeet(t *testing.T) {
	older := start(t, configOf(t, 1))
	three := start(t, configOf(t, 3, older))
	older.sees("1 active, 3 active")
	conf := configOf(t, 1)
	conf.Self.Name, conf.Listen = "younger", netip.MustParseAddrPort("127.0.7.98:0")
	younger := start(t, conf)
	younger.sees("1 active")
	two := start(t, configOf(t, 2, younger))
	younger.sees("1 active, 2 active")
	start(t, configOf(t, 4, two, three)) // brings them together
	younger.sees("1 active")
	younger.complains("this node: ", `the id of node 1 "node-1"`)
	for _, n := range []*node{older, two, three} {
		eventually(t, "node-1 is node 1", func() bool {
			views, _ := n.seen()
			last := views[len(views)-1]
			return shape(last) == "1 active, 2 active, 3 active, 4 active" && last.Members[0].Name == "node-1"
		})
	}
	older.complains(`node 1 "younger"`)
}

func TestOtherSecret(t *testing.T) {
	one := start(t, configOf(t, 1))
	conf := configOf(t, 2, one)
	conf.Key = []byte("another key of thirty-two bytes!")
	two := start(t, conf)
	one.complains("127.0.7.2 talks with another secret", `PoP "fra"`, "pop.secret")
	two.complains(one.Addr().String()+" of pop.join has another secret", "pop.secret")
	one.sawOnly(1, "1 active")
	two.sawOnly(1, "2 active")
	if got := one.metric("landfall_members_refused_total", "secret"); got == 0 {
		t.Error("no refusal counted")
	}
	if got := two.metric("landfall_members_joins_total", "refused"); got == 0 {
		t.Error("no refused join counted")
	}
}

func TestOtherPop(t *testing.T) {
	one := start(t, configOf(t, 1))
	conf := configOf(t, 2, one)
	conf.Pop = "ams"
	two := start(t, conf)
	one.complains(`127.0.7.2 talks as a node of another PoP than "fra"`, "pop.join")
	two.complains(one.Addr().String()+" of pop.join does not take this node in", `PoP "ams"`)
	one.sawOnly(1, "1 active")
	if got := one.metric("landfall_members_refused_total", "pop"); got == 0 {
		t.Error("no refusal counted")
	}
}

// TestDatagramsOfStrangers sends what no node says, as a datagram.
func TestDatagramsOfStrangers(t *testing.T) {
	one := start(t, configOf(t, 1))
	conn, err := net.Dial("udp", one.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	label := "\xf4\x03fra"
	for _, datagram := range []string{"hello", "\xf4\x03ams", label, label + "hello", "\xf4"} {
		if _, err := io.WriteString(conn, datagram); err != nil {
			t.Fatal(err)
		}
	}
	one.complains("127.0.0.1 talks with another secret")
	one.complains("127.0.0.1 talks as a node of another PoP")
	eventually(t, "all lines are counted", func() bool { return one.metric("landfall_members_log_lines_total", "warn") >= 5 })
}

// TestConnectionThatSaysNothing: who gives a connection up before a byte was
// sent, as a node does whose probe takes too long, is no stranger.
func TestConnectionThatSaysNothing(t *testing.T) {
	one := start(t, configOf(t, 1))
	conn, err := net.Dial("tcp", one.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	eventually(t, "the library's line is counted", func() bool { return one.metric("landfall_members_log_lines_total", "warn") >= 1 })
	if p := one.Problems(); len(p) > 0 {
		t.Errorf("problems %q", p)
	}
}

// TestUnreadableMetadata has somebody with the right secret say what no
// node says, and a node of another version what this one need not know.
func TestUnreadableMetadata(t *testing.T) {
	one := start(t, configOf(t, 1))
	join := func(name, addr string, said []byte) {
		c := memberlist.DefaultLANConfig()
		c.Name, c.Label, c.SecretKey = name, "fra", testKey
		c.BindAddr, c.BindPort, c.Logger = addr, 0, log.New(io.Discard, "", 0)
		c.Delegate = sayer{said: said}
		list, err := memberlist.Create(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = list.Shutdown() })
		if _, err := list.Join([]string{one.Addr().String()}); err != nil {
			t.Fatal(err)
		}
	}
	newer := meta{Member: memberOf(3), pop: "fra", instance: 1}
	join("newer", "127.0.7.3", append(newer.encode(), 200, 2, 'n', 'w'))
	join("stranger", "127.0.7.2", []byte("hello"))
	join("empty", "127.0.7.4", nil)
	elsewhere := meta{Member: memberOf(5), pop: "ams", instance: 1}
	join("elsewhere", "127.0.7.5", elsewhere.encode())

	one.complains("what the node at 127.0.7.2:", "cannot be read")
	one.complains("what the node at 127.0.7.4:", "cannot be read")
	one.complains("127.0.7.5:", "another PoP")
	one.sees("1 active, 3 active")
	one.sawOnly(2, "1 active, 3 active")
	if got := one.metric("landfall_members_refused_total", "metadata"); got < 2 {
		t.Errorf("%v refusals counted", got)
	}
}

// sayer is a memberlist delegate that says one thing.
type sayer struct {
	delegate
	said []byte
}

func (s sayer) NodeMeta(int) []byte             { return s.said }
func (s sayer) LocalState(bool) []byte          { return []byte{goneFormat, 1, 2, 3} }
func (sayer) MergeRemoteState(_ []byte, _ bool) {}

func TestDifferences(t *testing.T) {
	conf := configOf(t, 1)
	conf.Sites = func() uint64 { return 1 }
	conf.Tuning.SitesDiffer, conf.Tuning.VersionsDiffer = time.Millisecond, time.Millisecond
	one := start(t, conf)
	conf = configOf(t, 2, one)
	conf.Sites, conf.Version = func() uint64 { return 2 }, "v2"
	two := start(t, conf)
	conf = configOf(t, 3, one)
	conf.Version = "v2"
	three := start(t, conf) // does not know its sites yet
	one.complains("different sites: 0000000000000001 on node-1; 0000000000000002 on node-2")
	one.complains("different versions: v1 on node-1; v2 on node-2, node-3", "finish the upgrade")
	two.sees("1 active, 2 active, 3 active")
	two.content() // not for long enough
	two.stop()
	three.stop()
	one.content()
}

func TestSeedThatDoesNotAnswer(t *testing.T) {
	first := configOf(t, 1)
	first.Publish = func(affinity.View) {}
	reserved, err := Listen(first) // has the port, and does not run
	if err != nil {
		t.Fatal(err)
	}
	addr := reserved.Addr()
	if err := reserved.Close(); err != nil {
		t.Fatal(err)
	}
	conf := configOf(t, 2)
	conf.Join = []string{addr.String(), "nowhere.example:7946"}
	conf.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
	two := start(t, conf)
	two.complains(addr.String()+" of pop.join does not answer", "connection refused", "check the address")
	two.complains("nowhere.example:7946 of pop.join cannot be resolved (it has no address)", "check the name")
	if got := two.metric("landfall_members_joins_total", "silent"); got == 0 {
		t.Error("no silent seed counted")
	}
	first.Listen = addr
	start(t, first)
	two.sees("1 active, 2 active")
	eventually(t, "one problem is left", func() bool { return len(two.Problems()) == 1 })
}
