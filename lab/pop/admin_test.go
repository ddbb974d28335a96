package pop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ring is what GET /v1/ring says of the table in force.
type ring struct {
	Hash       string
	Generation uint64
	Members    []struct {
		Name       string
		Partitions int
	}
}

// owners counts the nodes that own a part of the table.
func (r ring) owners() (n int) {
	for _, m := range r.Members {
		if m.Partitions > 0 {
			n++
		}
	}
	return n
}

// listed is what GET /v1/nodes says of a node.
type listed struct {
	Name, Admin, L7, Relay, Sites string
}

// progress is how far a drain has come.
type progress struct {
	State              string
	Sessions, InFlight int
}

// operator is the client of the admin address.
func (n *node) operator() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: n.pop.dial, DisableKeepAlives: true}}
}

// admin sends one request to the admin address. It reports false when there
// is nobody.
func (n *node) admin(method, path, body string) (status int, answer []byte, ok bool) {
	req, err := http.NewRequest(method, "http://"+n.addr+":9080"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, false
	}
	resp, err := n.operator().Do(req)
	if err != nil {
		return 0, nil, false
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err == nil
}

func (n *node) ring() (r ring, ok bool) {
	status, body, ok := n.admin(http.MethodGet, "/v1/ring", "")
	return r, ok && status == http.StatusOK && json.Unmarshal(body, &r) == nil
}

// list returns what the node knows of the node with a name.
func (n *node) list(name string) (l listed, ok bool) {
	var all struct{ Nodes []listed }
	_, body, ok := n.admin(http.MethodGet, "/v1/nodes", "")
	if !ok || json.Unmarshal(body, &all) != nil {
		return l, false
	}
	i := slices.IndexFunc(all.Nodes, func(l listed) bool { return l.Name == name })
	if i < 0 {
		return listed{Name: name, L7: "gone"}, true
	}
	return all.Nodes[i], true
}

// owner returns the name of the node that owns a key, or the key of a URL.
func (n *node) owner(t testing.TB, key string) string {
	t.Helper()
	var l struct{ Owner struct{ Name string } }
	status, body, _ := n.admin(http.MethodGet, "/v1/ring/locate?key="+url.QueryEscape(key), "")
	if status != http.StatusOK || json.Unmarshal(body, &l) != nil {
		t.Fatalf("%s cannot locate %s: %d %s", n.name, key, status, body)
	}
	return l.Owner.Name
}

// drain has the node go, as told to any of the nodes.
func (n *node) drain(t testing.TB, by *node, deadline string) {
	t.Helper()
	if status, body, _ := by.admin(http.MethodPost, "/v1/nodes/"+n.name+"/drain", `{"deadline":"`+deadline+`"}`); status/100 != 2 {
		t.Fatalf("%s refuses to drain %s: %d %s", by.name, n.name, status, body)
	}
}

// drained returns how far the node's drain has come.
func (n *node) drained(t testing.TB) (p progress) {
	t.Helper()
	status, body, _ := n.admin(http.MethodGet, "/v1/nodes/"+n.name+"/drain", "")
	if status != http.StatusOK {
		t.Fatalf("progress of %s: %d %s", n.name, status, body)
	}
	must(t, json.Unmarshal(body, &p))
	return p
}

type verdict struct {
	Ready    bool
	Checks   []struct{ Name, Error string }
	Problems []struct{ Name, Text string }
}

func (n *node) health() (v verdict) {
	if _, body, ok := n.admin(http.MethodGet, "/healthz/ready", ""); !ok || json.Unmarshal(body, &v) != nil {
		return verdict{}
	}
	return v
}

// ready fails the test when the node has ended: it never will be.
func (n *node) ready(t testing.TB) bool {
	t.Helper()
	if n.over() {
		t.Fatalf("%s ended: %v", n.name, n.cmd.ProcessState)
	}
	return n.health().Ready
}

// complains reports whether the node's verdict has a problem with all of
// the given words in it.
func (n *node) complains(words ...string) bool {
	for _, p := range n.health().Problems {
		text := p.Name + ": " + p.Text
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return true
		}
	}
	return false
}

// metric sums the samples of a metric, those with all of the given labels.
func (n *node) metric(name string, labels ...string) (sum float64) {
	_, body, _ := n.admin(http.MethodGet, "/metrics", "")
	for s := bufio.NewScanner(bytes.NewReader(body)); s.Scan(); {
		rest, ok := strings.CutPrefix(s.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		if slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, l) }) {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err == nil {
			sum += v
		}
	}
	return sum
}
