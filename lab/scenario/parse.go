package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/landfall-cdn/landfall/lab/inet"
	"github.com/landfall-cdn/landfall/lab/load"
)

// MaxFile is the largest scenario file, in bytes.
const MaxFile = 64 << 10

// Parse reads a scenario. The error has everything that is wrong with it,
// each with file and line.
func Parse(file string, text []byte) (*Scenario, error) {
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%s: is larger than %d bytes, the most that is read", file, MaxFile)
	}
	p := &parser{file: file, plan: inet.NewPlan("x")}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := decode(dec, &doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: is empty; a scenario needs at least a name and steps", file)
		}
		return nil, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := decode(dec, &yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: a second document begins here; a file holds one scenario", file)
	}
	s := p.scenario(doc.Content[0])
	return s, errors.Join(p.errs...)
}

// decode keeps what the library panics with from ending the program.
func decode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read: %v", r)
		}
	}()
	return dec.Decode(n)
}

// parser gathers what is wrong.
type parser struct {
	file string
	plan *inet.Plan
	errs []error
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.file, n.Line, fmt.Sprintf(format, args...)))
}

// keys calls the function of each key of a mapping. Unknown keys, keys that
// are there twice and missing ones are errors.
func (p *parser) keys(n *yaml.Node, what string, known map[string]func(*yaml.Node), required ...string) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s: expected a mapping with the keys %s", what, names(known))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		f := known[key.Value]
		switch {
		case f == nil:
			p.fail(key, "%s: unknown key %q; known are %s", what, key.Value, names(known))
		case seen[key.Value]:
			p.fail(key, "%s: %s is there twice; remove one", what, key.Value)
		default:
			f(value)
		}
		seen[key.Value] = true
	}
	for _, r := range required {
		if !seen[r] {
			p.fail(n, "%s: %s is missing", what, r)
		}
	}
}

func names[V any](known map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

func (p *parser) text(n *yaml.Node, to *string) {
	if n.Kind != yaml.ScalarNode || strings.TrimSpace(n.Value) == "" {
		p.fail(n, "expected a word or a line of text")
		return
	}
	*to = strings.TrimSpace(n.Value)
}

func (p *parser) number(n *yaml.Node, to *int, most int) {
	v, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 || v > most {
		p.fail(n, "%q: expected a whole number from 0 to %d", n.Value, most)
		return
	}
	*to = v
}

// maxTime bounds every time in a scenario.
const maxTime = 10 * time.Minute

func (p *parser) duration(n *yaml.Node, to *time.Duration) {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d <= 0 || d > maxTime {
		p.fail(n, "%q: expected a time such as 350ms or 10s, at most %v", n.Value, maxTime)
		return
	}
	*to = d
}

// list calls a function for each element.
func (p *parser) list(n *yaml.Node, what string, each func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		p.fail(n, "%s: expected a list", what)
		return
	}
	for _, e := range n.Content {
		each(e)
	}
}

func (p *parser) scenario(n *yaml.Node) *Scenario {
	s := &Scenario{File: p.file}
	p.keys(n, "scenario", map[string]func(*yaml.Node){
		"name":  func(n *yaml.Node) { p.text(n, &s.Name) },
		"about": func(n *yaml.Node) { p.text(n, &s.About) },
		"needs": func(n *yaml.Node) {
			p.list(n, "needs", func(n *yaml.Node) { s.Needs = append(s.Needs, p.need(n)) })
		},
		"load": func(n *yaml.Node) { s.Load = p.load(n) },
		"steps": func(n *yaml.Node) {
			p.list(n, "steps", func(n *yaml.Node) { s.Steps = append(s.Steps, p.step(n)) })
		},
		"always": func(n *yaml.Node) { s.Always = p.checks(n, "always") },
		"must":   func(n *yaml.Node) { s.Must = p.bounds(n) },
	}, "name", "steps")
	if len(s.Must) > 0 && s.Load == nil {
		p.fail(n, "must bounds what clients see, and there are none; add load")
	}
	if slices.ContainsFunc(s.Steps, func(s Step) bool { return s.Gap > 0 }) && (s.Load == nil || s.Load.Flows == 0) {
		p.fail(n, "gap bounds what flows see, and there are none; add load: { flows: 12 }")
	}
	return s
}

func (p *parser) need(n *yaml.Node) Need {
	need := Need{Line: n.Line}
	p.text(n, &need.Text)
	if need.Text != needBFD && !strings.HasPrefix(need.Text, "landfall ") {
		p.fail(n, "needs: %q: expected %s, or a command such as landfall pop drain", need.Text, needBFD)
	}
	return need
}

func (p *parser) load(n *yaml.Node) *Load {
	l := &Load{}
	p.keys(n, "load", map[string]func(*yaml.Node){
		"clients": func(n *yaml.Node) {
			p.list(n, "clients", func(n *yaml.Node) {
				if p.plan.Client(n.Value) == nil {
					p.fail(n, "client %q: expected one of %s", n.Value, p.clients())
				}
				l.Clients = append(l.Clients, n.Value)
			})
		},
		"new":       func(n *yaml.Node) { p.number(n, &l.New, load.MaxNew) },
		"downloads": func(n *yaml.Node) { p.number(n, &l.Downloads, load.MaxDownloads) },
		"flows":     func(n *yaml.Node) { p.number(n, &l.Flows, load.MaxFlows) },
	}, "clients")
	return l
}

func (p *parser) clients() string {
	var out []string
	for _, c := range p.plan.Clients {
		out = append(out, c.Name)
	}
	return strings.Join(out, ", ")
}

func (p *parser) step(n *yaml.Node) Step {
	s := Step{Line: n.Line}
	a := &Action{Exit: []int{0}}
	extra := ""
	p.keys(n, "step", map[string]func(*yaml.Node){
		"do":         func(n *yaml.Node) { p.text(n, &a.Text); s.Do = a; p.action(n, a) },
		"then":       func(n *yaml.Node) { s.Then = p.checks(n, "then"); extra = "then" },
		"background": func(n *yaml.Node) { a.Background = n.Value == "true"; extra = "background" },
		"exit":       func(n *yaml.Node) { a.Exit = p.exits(n); extra = "exit" },
		"at":         func(n *yaml.Node) { p.node(n); a.At = n.Value; extra = "at" },
		"wait":       func(n *yaml.Node) { p.duration(n, &s.Wait) },
		"expect":     func(n *yaml.Node) { s.Expect = p.checks(n, "expect") },
		"gap":        func(n *yaml.Node) { p.duration(n, &s.Gap) },
	})
	kinds := 0
	for _, is := range []bool{s.Do != nil, s.Wait != 0, len(s.Expect) > 0, s.Gap != 0} {
		if is {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		p.fail(n, "step: expected one of do, wait, expect and gap; make each a step of its own")
	case extra != "" && s.Do == nil:
		p.fail(n, "step: %s goes with do", extra)
	}
	return s
}

// exits reads one exit code or a list of them.
func (p *parser) exits(n *yaml.Node) []int {
	list := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		list = n.Content
	}
	out := make([]int, len(list))
	for i, e := range list {
		p.number(e, &out[i], 255)
	}
	return out
}

func (p *parser) node(n *yaml.Node) {
	if p.plan.Node(n.Value) == nil {
		p.fail(n, "node %q: expected one of a1 to a3 and b1 to b3", n.Value)
	}
}

func (p *parser) bounds(n *yaml.Node) (out []Bound) {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "must: expected a mapping such as { failed: 0, longest_gap: 50ms }")
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		b := Bound{Line: key.Line, Figure: key.Value, Op: "="}
		switch {
		case key.Value == figureGap:
			b.Op = "<="
			p.duration(value, &b.Time)
		case figures[key.Value] == nil:
			p.fail(key, "must: unknown figure %q; known are %s, %s", key.Value, names(figures), figureGap)
			continue
		default:
			count := *value
			for _, op := range []string{"<=", ">="} {
				if rest, ok := strings.CutPrefix(value.Value, op); ok {
					b.Op, count.Value = op, strings.TrimSpace(rest)
				}
			}
			p.number(&count, &b.Count, 1e9)
		}
		out = append(out, b)
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }
