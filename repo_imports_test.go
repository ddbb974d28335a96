package landfall_test

import (
	"fmt"
	"go/ast"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/landfall-cdn/landfall"

// arrow is what the packages of a folder may import of ours, besides
// internal/, which is open to all.
type arrow struct {
	from string
	to   []string
	why  string
	// tests are what its tests may import on top of that.
	tests []string
}

// everything is for what wires the parts together.
var everything = []string{"cmd/...", "edge/...", "cache/...", "origin/...", "affinity/...", "bgp/...", "tls/...", "configs", "lab/inet", "lab/scenario", "lab/scenarios"}

// arrows is the architecture. The first line that fits a package counts,
// and every package needs one. An arrow that is not here is a decision,
// not an oversight: take it up before you add it.
var arrows = []arrow{
	{
		from: "lab/runbooks", tests: []string{"lab/inet"},
		why: "a runbook is text; its commands run in a lab",
	},
	{
		from: "cmd/...", to: everything,
		why: "cmd wires the parts, so that no part has to know another",
	},
	{
		from: "lab/inet", to: []string{"lab/load"},
		why: "a lab runs the program and asks it as its users do; it does not know what happens in it",
	},
	{
		from: "lab/scenario", to: []string{"lab/inet", "lab/load"}, tests: []string{"lab/scenarios"},
		why: "a scenario happens in a lab; which there are is said by who runs them",
	},
	{
		from: "lab/...", tests: []string{"tls/certs/issue/pebbletest"},
		why: "the lab uses the program from outside, as its users do",
	},

	{
		from: "edge/exchange",
		why:  "the vocabulary of the path is imported by all, so it imports nothing of ours",
	},
	{
		from: "edge/site", to: []string{"edge/exchange", "cache", "affinity/sessions"},
		why: "a site compiles policy into a table; what fetches or serves is bound to it by cmd",
	},
	{
		from: "edge", to: []string{"edge/exchange", "edge/message", "edge/site", "cache", "affinity", "affinity/relay", "affinity/sessions", "tls/..."},
		why: "edge is the path of a request; it meets origins as fillers only, and routes can be withdrawn while it hangs",
	},
	{
		from: "edge/wire",
		why:  "the wire carries bytes and knows nothing of requests",
	},
	{
		from: "edge/message", to: []string{"edge/exchange"},
		why: "what is well formed does not depend on who reads it",
	},
	{
		from: "edge/front", to: []string{"edge/exchange", "edge/wire", "edge/http1", "edge/http2", "edge/http3"},
		tests: []string{"edge/nethttp"},
		why:   "the front hands connections to the servers and never looks into a request",
	},
	{
		from: "edge/nethttp", to: []string{"edge/exchange"},
		why: "the reference shares nothing with what it is compared with but the vocabulary",
	},
	{
		from: "edge/...", to: []string{"edge/exchange", "edge/wire", "edge/message"},
		why: "a server turns bytes into an exchange and knows nothing of what becomes of it",
	},

	{
		from: "cache/...", to: []string{"edge/exchange", "cache/..."},
		why: "the store does not know whether a fill comes from a peer or an origin, and is tested without a network",
	},
	{
		from: "origin/...", to: []string{"edge/exchange", "origin/..."},
		why: "an origin is a filler; it does not know who asks",
	},

	{
		from: "affinity/relay", to: []string{"affinity", "edge/exchange"},
		why: "the relay is one hop to a peer; what the peer does with it is the business of the peer's edge",
	},
	{
		from: "affinity/sessions", to: []string{"affinity", "edge/exchange"},
		why: "which session a request belongs to can be read off it; what is done about that is the edge's",
	},
	{
		from: "affinity/members", to: []string{"affinity"},
		why: "membership yields views and nothing else",
	},
	{
		from: "affinity/steer/...", to: []string{"affinity", "affinity/cid", "affinity/steer/..."},
		why: "steering moves packets by the same table as requests and sees no request",
	},
	{
		from: "affinity/...",
		why:  "who owns a key is a fact about nodes, not about objects; it is pure",
	},

	{
		from: "bgp/ladder", to: []string{"bgp"},
		why: "what is announced is decided by what is known of nodes and checks; who speaks and what serves is passed in",
	},
	{
		from: "bgp/speaker", to: []string{"bgp"}, tests: []string{"bgp/ladder"},
		why: "the speaker carries out what bgp decides",
	},
	{
		from: "bgp/routerconf", to: []string{"bgp"},
		why: "the router's half follows from the node's, and from nothing else",
	},
	{
		from: "bgp/bfd",
		why:  "BFD says that this process lives and nothing else; what routes do about it is the router's business",
	},
	{
		from: "bgp/...",
		why:  "routes must be withdrawable when everything else hangs",
	},

	{
		from: "tls/policy", to: []string{"tls/tickets"}, tests: []string{"tls/certs/..."},
		why: "policy makes a listener's settings and gets certificates as a function",
	},
	{
		from: "tls/certs/...", to: []string{"tls/certs/..."}, tests: []string{"tls/policy", "tls/tickets"},
		why: "certificates do not know who shows them",
	},
	{
		from: "tls/...",
		why:  "keys are used by all who listen, and use nobody",
	},

	{
		from: "configs",
		why:  "a part is built from its own Config and can be tested without a file; cmd translates",
	},
	{
		from: "internal/...",
		why:  "internal is what everybody stands on, so it stands on nothing of ours but internal",
	},
	{
		from: ".",
		why:  "the house rules look at the files and need none of the code",
	},
}

// imported is one import of one of our packages.
type imported struct {
	from, to string // package folders
	where    string // file and line
	test     bool   // by a test
}

// crossed returns the imports that no arrow allows, each with the reason.
func crossed(imports []imported) []string {
	var problems []string
	for _, i := range imports {
		n := slices.IndexFunc(arrows, func(a arrow) bool { return matches(a.from, i.from) })
		switch {
		case n < 0:
			problems = append(problems, fmt.Sprintf("%s: %s has no line in arrows (repo_imports_test.go)", i.where, i.from))
		case i.to == "" || i.to == i.from || matches("internal/...", i.to):
		case i.test && matchesAny(arrows[n].tests, i.to):
		case !matchesAny(arrows[n].to, i.to):
			problems = append(problems, fmt.Sprintf("%s: %s imports %s: %s", i.where, i.from, i.to, arrows[n].why))
		}
	}
	return problems
}

// graph returns our imports of ours, tests included, and one empty
// import for each file, so that a package without any is seen too.
func graph(tr *tree) []imported {
	var out []imported
	for _, s := range tr.code {
		out = append(out, imported{from: s.pkg, where: s.path, test: s.test})
		for _, spec := range s.file.Imports {
			if to, ours := strings.CutPrefix(importPath(spec), module+"/"); ours {
				where := fmt.Sprintf("%s:%d", s.path, s.line(spec.Pos()))
				out = append(out, imported{s.pkg, to, where, s.test})
			}
		}
	}
	return out
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

func TestArrows(t *testing.T) {
	for _, problem := range crossed(graph(load(t, os.DirFS(".")))) {
		t.Error(problem)
	}
}

func TestArrowsCanBreak(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		says           string // "" when the import is allowed
	}{
		{"cmd wires all", "cmd/landfall", "origin", ""},
		{"edge serves from the cache", "edge", "cache", ""},
		{"internal is open", "bgp", "internal/must", ""},
		{"a package's own tests", "cache", "cache", ""},
		{"a tier of the cache", "cache/disk", "edge/exchange", ""},
		{"the speaker", "bgp/speaker", "bgp", ""},
		{"a test alone", "tls/policy", "tls/certs/local", "as a function"},

		{"cache to origin", "cache", "origin", "tested without a network"},
		{"BFD to BGP", "bgp/bfd", "bgp", "lives and nothing else"},
		{"bgp to edge", "bgp", "edge", "when everything else hangs"},
		{"bgp to its own process", "bgp", "bgp/speaker", "when everything else hangs"},
		{"affinity to cache", "affinity", "cache", "a fact about nodes"},
		{"a part to configs", "origin", "configs", "it does not know who asks"},
		{"configs to a part", "configs", "cache", "cmd translates"},
		{"a front end to the cache", "edge/http2", "cache", "knows nothing of what becomes of it"},
		{"a front end to another", "edge/http1", "edge/http2", "knows nothing of what becomes of it"},
		{"site to origin", "edge/site", "origin", "bound to it by cmd"},
		{"exchange to anything", "edge/exchange", "cache", "imports nothing of ours"},
		{"internal to a part", "internal/demo", "edge/exchange", "stands on nothing of ours"},
		{"certificates to policy", "tls/certs", "tls/policy", "do not know who shows them"},
		{"a new package", "billing", "cache", "no line in arrows"},
		{"a new package that imports nothing", "billing", "", "no line in arrows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := crossed([]imported{{c.from, c.to, "file.go:3", false}})
			if c.says == "" && len(problems) > 0 {
				t.Errorf("refused: %q", problems)
			}
			if c.says != "" && (len(problems) != 1 || !strings.Contains(problems[0], c.says)) {
				t.Errorf("problems %q, want one with %q", problems, c.says)
			}
		})
	}
}

// TestGraphHasTests makes sure that a test breaks an arrow as well, and
// may do what its line allows to tests.
func TestGraphHasTests(t *testing.T) {
	got := graph(load(t, files{
		"cache/x_test.go":      "package cache_test\nimport _ \"" + module + "/origin\"\n",
		"tls/policy/x_test.go": "package policy\nimport _ \"" + module + "/tls/certs/local\"\n",
	}.fs()))
	problems := crossed(got)
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "cache/x_test.go:2: cache imports origin") {
		t.Errorf("problems %q, want the import of origin and nothing else", problems)
	}
}

// importRules are about what is not ours.
var importRules = []rule{
	{
		name: "libraries have one owner",
		why:  "who may import it is a decision; see guarded in repo_imports_test.go",
		check: func(tr *tree) (problems []string) {
			for _, s := range tr.code {
				for _, spec := range s.file.Imports {
					if g, bad := misplaced(importPath(spec), s.pkg); bad {
						problems = append(problems, fmt.Sprintf("%s:%d: imports %s, which is for %s: %s",
							s.path, s.line(spec.Pos()), importPath(spec), strings.Join(g.owners, " and "), g.why))
					}
				}
			}
			return problems
		},
		breaks: []broken{
			{files{"bgp/x.go": "package bgp\nimport _ \"github.com/osrg/gobgp/v3/pkg/server\"\n"}, "bgp/x.go:2: imports github.com/osrg/gobgp/v3/pkg/server, which is for bgp/speaker: a malformed update"},
		},
	},
	{
		name: "net/http ends at the seam",
		why:  "after admission a request is an exchange.Request; only names that are plain values (Status..., Method..., dates) may be used here",
		check: func(tr *tree) (problems []string) {
			for _, s := range tr.code {
				if s.test || matchesAny(httpUsers, s.pkg) {
					continue
				}
				for _, use := range httpNames(s) {
					problems = append(problems, fmt.Sprintf("%s:%d: uses http.%s", s.path, s.line(use.Pos()), use.Sel.Name))
				}
			}
			return problems
		},
		breaks: []broken{
			{files{"edge/x.go": "package edge\nimport web \"net/http\"\nvar code = web.StatusOK\nfunc f(*web.Request) {}\n"}, "edge/x.go:4: uses http.Request"},
		},
	},
}

// owned is a module that belongs to some packages.
type owned struct {
	prefix string
	owners []string
	why    string
}

var guarded = []owned{
	{"github.com/osrg/gobgp/", []string{"bgp/speaker"}, "a malformed update can crash it, so it lives in its own process"},
	{"github.com/caddyserver/certmagic", []string{"tls/certs/..."}, "certificates have one store"},
	{"github.com/mholt/acmez/", []string{"tls/certs/..."}, "certificates have one store"},
	{"github.com/buraksezer/consistent", []string{"affinity"}, "it builds the table off the path and is never called on it"},
}

// misplaced returns the rule that forbids pkg an import.
func misplaced(imp, pkg string) (owned, bool) {
	for _, g := range guarded {
		if strings.HasPrefix(imp, g.prefix) && !matchesAny(g.owners, pkg) {
			return g, true
		}
	}
	return owned{}, false
}

// httpUsers may use all of net/http: the front ends, who talks HTTP to
// somebody by itself, and who serves operators.
var httpUsers = []string{
	"cmd/...", "edge/http1", "edge/http2", "edge/http3", "edge/front", "edge/nethttp",
	"origin/...", "tls/certs/...", "internal/...", "lab/...",
}

// httpNames returns the uses of net/http that are more than a value.
func httpNames(s *source) []*ast.SelectorExpr {
	name := ""
	for _, spec := range s.file.Imports {
		if importPath(spec) == "net/http" {
			if name = "http"; spec.Name != nil {
				name = spec.Name.Name
			}
		}
	}
	var uses []*ast.SelectorExpr
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		plain := strings.HasPrefix(sel.Sel.Name, "Status") || strings.HasPrefix(sel.Sel.Name, "Method") ||
			sel.Sel.Name == "TimeFormat" || sel.Sel.Name == "ParseTime"
		if ok && name != "" && x.Name == name && !plain {
			uses = append(uses, sel)
		}
		return true
	})
	return uses
}
