package scenario

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/landfall-cdn/landfall/lab/inet"
)

// aspects are what can be said of each kind of subject.
var aspects = map[string][]string{
	"client": {"lands"},
	"router": {"path"},
	"node":   {"route", "admin", "health", "announce"},
	"pop":    {"announced"},
}

func (p *parser) checks(n *yaml.Node, what string) (out []Check) {
	p.list(n, what, func(n *yaml.Node) { out = append(out, p.check(n)) })
	if n.Kind == yaml.SequenceNode && len(out) == 0 {
		p.fail(n, "%s: is empty; leave it out, or say what must be so", what)
	}
	return out
}

func (p *parser) check(n *yaml.Node) Check {
	c := Check{Line: n.Line, Families: inet.Families}
	known := map[string]func(*yaml.Node){
		"within": func(n *yaml.Node) { p.duration(n, &c.Within) },
		"family": func(n *yaml.Node) {
			if c.Families = []inet.Family{inet.Family(n.Value)}; !slices.Contains(inet.Families, c.Families[0]) {
				p.fail(n, "family %q: expected v4 or v6", n.Value)
			}
		},
	}
	for subject, whats := range aspects {
		known[subject] = func(n *yaml.Node) {
			if c.Subject != "" {
				p.fail(n, "check: it is about %s already; make another check", c.Subject)
			}
			c.Subject = subject
			p.text(n, &c.Name)
		}
		for _, what := range whats {
			known[what] = func(n *yaml.Node) {
				if c.What != "" {
					p.fail(n, "check: it says %s already; make another check", c.What)
				}
				c.What = what
				p.text(n, &c.Want)
			}
		}
	}
	p.keys(n, "check", known)
	if n.Kind == yaml.MappingNode {
		p.sense(n, &c)
	}
	return c
}

// sense says what is wrong with a check as a whole.
func (p *parser) sense(n *yaml.Node, c *Check) {
	whats, ok := aspects[c.Subject]
	switch {
	case !ok:
		p.fail(n, "check: expected what it is about: one of %s", names(aspects))
		return
	case !slices.Contains(whats, c.What):
		p.fail(n, "check of a %s: expected one of %s", c.Subject, strings.Join(whats, ", "))
		return
	}
	if c.What == "path" || c.What == "lands" || c.What == "announced" || c.What == "route" {
		p.value(n, c)
	} else {
		c.Families = nil // it has none
	}
	switch c.Subject {
	case "client":
		if p.plan.Client(c.Name) == nil {
			p.fail(n, "client %q: expected one of %s", c.Name, p.clients())
		}
	case "router":
		if p.plan.Router(c.Name) == nil {
			p.fail(n, "router %q: there is none; landfall lab status draws them", c.Name)
		}
	case "node":
		if p.plan.Node(c.Name) == nil {
			p.fail(n, "node %q: expected one of a1 to a3 and b1 to b3", c.Name)
		}
	case "pop":
		if !slices.Contains(p.plan.Pops(), c.Name) {
			p.fail(n, "pop %q: expected a or b", c.Name)
		}
	}
}

// value says what is wrong with what a check wants.
func (p *parser) value(n *yaml.Node, c *Check) {
	switch c.What {
	case "lands":
		if !slices.Contains(p.plan.Pops(), c.Want) && p.plan.Node(c.Want) == nil && c.Want != wantNearest && c.Want != wantAnywhere {
			p.fail(n, "lands %q: expected a PoP, a node, %s or %s", c.Want, wantNearest, wantAnywhere)
		}
	case "announced":
		if c.Want != "yes" && c.Want != "no" {
			p.fail(n, "announced %q: expected yes or no", c.Want)
		}
	case "route":
		if c.Want != "present" && c.Want != "absent" {
			p.fail(n, "route %q: expected present or absent", c.Want)
		}
	case "path":
		if c.Want == wantNone {
			return
		}
		for _, word := range strings.Fields(c.Want) {
			if _, err := strconv.ParseUint(word, 10, 32); err != nil {
				p.fail(n, "path %q: expected AS numbers with spaces between, or %s", c.Want, wantNone)
				return
			}
		}
	}
}

// Words that a check may want.
const (
	wantNearest  = "nearest"
	wantAnywhere = "anywhere"
	wantNone     = "none"
)

// verbs are the actions, with what follows each.
var verbs = map[string]string{
	"landfall": "and a command line",
	"kill":     "NODE: end its process at once",
	"stop":     "NODE: suspend its process",
	"cont":     "NODE: let it go on",
	"term":     "NODE: ask it to end",
	"start":    "NODE: start it again",
	"silence":  "NODE or ROUTER: take its packets away",
	"unmute":   "NODE or ROUTER: give them back",
	"link":     "LEFT-RIGHT up or down",
	"origin":   "up or down: its network's links",
	"border":   "POP plain, or any of prepend N, med N, community AS:N, gshut",
}

func (p *parser) action(n *yaml.Node, a *Action) {
	words := strings.Fields(a.Text)
	if len(words) == 0 {
		return
	}
	a.Verb, a.Words = words[0], words[1:]
	usage, ok := verbs[a.Verb]
	if !ok {
		p.fail(n, "do: unknown action %q; known are %s", a.Verb, names(verbs))
		return
	}
	if !p.acts(n, a) {
		p.fail(n, "do: expected %s %s", a.Verb, usage)
	}
}

// acts reports whether an action is complete.
func (p *parser) acts(n *yaml.Node, a *Action) bool {
	switch a.Verb {
	case "landfall":
		return len(a.Words) > 0
	case "kill", "stop", "cont", "term", "start":
		return len(a.Words) == 1 && p.plan.Node(a.Words[0]) != nil
	case "silence", "unmute":
		return len(a.Words) == 1 && (p.plan.Node(a.Words[0]) != nil || p.plan.Router(a.Words[0]) != nil)
	case "link":
		return len(a.Words) == 2 && p.plan.Link(a.Words[0]) != nil && (a.Words[1] == "up" || a.Words[1] == "down")
	case "origin":
		return len(a.Words) == 1 && (a.Words[0] == "up" || a.Words[0] == "down")
	}
	return len(a.Words) >= 2 && slices.Contains(p.plan.Pops(), a.Words[0]) && p.policy(n, a)
}

// policy reads what a border is to do.
func (p *parser) policy(n *yaml.Node, a *Action) bool {
	words := a.Words[1:]
	if len(words) == 1 && words[0] == "plain" {
		return true
	}
	for i := 0; i < len(words); i++ {
		if words[i] == "gshut" {
			a.Policy.Communities = append(a.Policy.Communities, inet.GracefulShutdown)
			continue
		}
		if i+1 == len(words) {
			return false
		}
		value := yaml.Node{Kind: yaml.ScalarNode, Value: words[i+1], Line: n.Line}
		switch words[i] {
		case "prepend":
			p.number(&value, &a.Policy.Prepend, inet.MaxPrepend)
		case "med":
			var med int
			p.number(&value, &med, 1<<31-1)
			v := uint32(med)
			a.Policy.MED = &v
		case "community":
			if !community(words[i+1]) {
				p.fail(n, "community %q: expected two numbers up to 65535 such as 64496:80", words[i+1])
			}
			a.Policy.Communities = append(a.Policy.Communities, words[i+1])
		default:
			return false
		}
		i++
	}
	return true
}

func community(s string) bool {
	as, value, ok := strings.Cut(s, ":")
	_, errAS := strconv.ParseUint(as, 10, 16)
	_, errValue := strconv.ParseUint(value, 10, 16)
	return ok && errAS == nil && errValue == nil
}
