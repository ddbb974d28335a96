package attack

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// attack is one run of one case.
type attack struct {
	name   string // family/case/way
	source string // where the form is described
	cached bool   // sent to the site that stores
	// answer is the origin's script; nil is the echo.
	answer func(*request) answer
	// early is asked for an answer before content is read; nil is none.
	early func(*request) answer
	send  func(n *node, host string) (*seen, error)
	want  outcome
}

// TestCorpusIsDescribed: no two runs have one name, and every case says
// where its form is described.
func TestCorpusIsDescribed(t *testing.T) {
	names := map[string]bool{}
	for _, a := range corpus() {
		if names[a.name] || a.source == "" || a.want == nil {
			t.Errorf("%s: named twice %v, source %q, has an outcome %v", a.name, names[a.name], a.source, a.want != nil)
		}
		names[a.name] = true
	}
	t.Logf("%d runs", len(names))
}

// side is how many cases run at once.
const side = 16

// bounds of the node under attack: its own, but for times, so that what is
// cut by one is cut within the test.
const attackedLimits = `limits: { header_time: 2s, body_stall: 2s, idle_time: 30s, conns_per_client: 4096 }`

// corpus is every case, in every way that it is sent.
func corpus() []attack {
	return slices.Concat(
		h1Attacks("ordinary", ordinaryCases, nil),
		h1Attacks("framing", framingCases, nil),
		h1Attacks("length", lengthCases, nil),
		h1Attacks("chunks", chunkCases, nil),
		h1Attacks("lines", lineCases, nil),
		h1Attacks("target", targetCases, nil),
		h1Attacks("host", hostCases, nil),
		h1Attacks("fields", fieldCases, nil),
		h1Attacks("flow", flowCases, nil),
		h1Attacks("upgrade", upgradeCases, nil),
		h1Attacks("tunnel", tunnelCases, switched),
		h1Attacks("hits", hitCases, nil),
		answerAttacks(answerCases),
		earlyAttacks(),
		poisonAttacks(poisonCases),
		messageAttacks(messageCases),
		prefaceAttacks(),
		h2Attacks("h2frames", frameCases),
		h2Attacks("h2floods", floodCases),
		h2Attacks("h2state", stateCases),
		h3Attacks("h3frames", h3Cases),
		h3Attacks("h3state", h3StateCases),
	)
}

// TestCorpus sends everything to one node and judges each case by what its
// client saw and what its origin read.
func TestCorpus(t *testing.T) {
	o := startOrigin(t)
	n := startNode(t, o.addr, attackedLimits)
	match, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	attacks := slices.DeleteFunc(corpus(), func(a attack) bool { return !match.MatchString(a.name) })
	ordinaryService(t, n, "before") // code paths and pools are warm
	before, _ := n.memory(t)

	p := startPulse(t)
	neighbour := startNeighbour(t, n, p)
	results := sendAll(n, o, p, attacks)
	neighbour.judge(t)

	for i, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			s := results[i]
			m := marker.FindString(s.host)
			s.requests, s.atOnce = o.requests(m), o.atOnce(m)
			if err := all(safe, a.want)(s); err != nil {
				t.Errorf("%v\nsource: %s\nseen: %v", err, a.source, s)
			}
		})
	}
	for _, stray := range o.strayed() {
		t.Errorf("the origin read a request of no case, or of two: %s", stray)
	}
	ordinaryService(t, n, "after")
	if text := n.panicked(); text != "" {
		t.Errorf("the node panicked: %s", text)
	}
	for _, i := range slowest(results, 3) {
		t.Logf("%v: %s", results[i].took.Round(time.Millisecond), attacks[i].name)
	}
	now, peak := n.memory(t)
	t.Logf("%d runs; memory %d MiB before, %d MiB now, %d MiB at most", len(attacks), before>>20, now>>20, peak>>20)
	if grew := peak - before; grew > memoryBound(64<<20) {
		t.Errorf("memory grew by %d MiB", grew>>20)
	}
}

// slowest returns the places of the results that took longest.
func slowest(results []*seen, n int) []int {
	order := make([]int, len(results))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(results[b].took, results[a].took) })
	return order[:min(n, len(order))]
}

// memoryBound widens a bound for the race detector, whose shadow memory
// multiplies what the program uses (5 to 10 times, as Go documents).
func memoryBound(n int64) int64 {
	if raceDetector {
		return 5 * n
	}
	return n
}

// hostOf names the host of a run.
func hostOf(i int, cached bool) string {
	if cached {
		return fmt.Sprintf("zq%05dz%s", i, cachedSite)
	}
	return fmt.Sprintf("zq%05dz%s", i, passedSite)
}

// tries is how often a run is made while the machine stands still in it.
const tries = 3

// sendAll runs every attack, several at once, and gives late requests time
// to reach the origin.
func sendAll(n *node, o *origin, p *pulse, attacks []attack) []*seen {
	results := make([]*seen, len(attacks))
	var senders sync.WaitGroup
	next := make(chan int)
	for range side {
		senders.Go(func() {
			for i := range next {
				for try := range tries {
					start := time.Now()
					results[i] = attacks[i].run(n, o, hostOf(i+try*10000, attacks[i].cached))
					if !p.void(start) {
						break
					}
				}
			}
		})
	}
	for i := range attacks {
		next <- i
	}
	close(next)
	senders.Wait()
	<-time.After(2 * quiet)
	return results
}

// run sends an attack under a host of its own.
func (a *attack) run(n *node, o *origin, host string) *seen {
	m := marker.FindString(host)
	if a.answer != nil {
		o.script(m, a.answer)
	}
	if a.early != nil {
		o.scriptEarly(m, a.early)
	}
	start := time.Now()
	s, err := a.send(n, host)
	if err != nil {
		s = &seen{flaw: "not sent: " + err.Error()}
	}
	s.host, s.took = host, time.Since(start)
	return s
}

// h1case is an HTTP/1.1 case. In its texts {host} stands for the host and
// {m} for the marker of the run.
type h1case struct {
	name   string
	source string
	// send is sent at once; steps go on from there.
	send  string
	steps []func(*h1client)
	// replies is how many final responses end the case, 1 unless given.
	replies int
	// head says that requests are HEAD.
	head bool
	// secure says that the case is about TLS and has no meaning in clear.
	secure bool
	want   outcome
}

// h1Attacks sends each case in clear to the site that passes on, with TLS
// to the one that stores, and, when it is short, with each byte in a TLS
// record of its own. The script answers for the origin; nil is the echo.
func h1Attacks(family string, cases []h1case, script func(*request) answer) (out []attack) {
	for _, c := range cases {
		for _, way := range []string{"tcp", "tls", "bytes"} {
			secure := way != "tcp"
			if c.secure && !secure || way == "bytes" && len(c.send) > dripMost {
				continue
			}
			out = append(out, attack{
				name: strings.Join([]string{family, c.name, way}, "/"), source: c.source, cached: secure, answer: script, want: c.want,
				send: func(n *node, host string) (*seen, error) {
					h, err := dialH1(n, host, secure)
					if err != nil {
						return nil, err
					}
					if way == "bytes" {
						h.w = dripping{h.c}
					}
					return c.run(h), nil
				},
			})
		}
	}
	return out
}

// dripMost is the longest text that is sent byte by byte.
const dripMost = 400

// dripping writes each byte by itself, so that whoever reads meets every
// place that a text can be cut at.
type dripping struct{ to io.Writer }

// Write implements io.Writer.
func (d dripping) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.to.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func (c *h1case) run(h *h1client) *seen {
	if c.send != "" {
		h.send(c.send)
	}
	for _, step := range c.steps {
		step(h)
	}
	bodiless := map[int]bool{}
	for i := range 8 {
		bodiless[i] = c.head
	}
	return h.finish(max(1, c.replies), bodiless)
}

// head makes a request head: the request line, Host, and more lines.
func head(line string, lines ...string) string {
	return bare(line, append([]string{"Host: {host}"}, lines...)...)
}

// bare is head without a Host of its own.
func bare(line string, lines ...string) string {
	return strings.Join(append([]string{line}, lines...), "\r\n") + "\r\n\r\n"
}

// hidden is a request that must never be seen as one.
var hidden = head("GET /smuggled HTTP/1.1")

// next is an ordinary request behind an attack.
var next = head("GET /next HTTP/1.1")
