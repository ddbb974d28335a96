package landfall_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The bounds that STYLE.md gives.
const (
	maxFuncLines     = 70
	maxTestFuncLines = 100
	maxFileLines     = 500
)

// longFiles may be longer than maxFileLines, each for a reason.
var longFiles = map[string]string{}

// sourceRules are about Go files.
var sourceRules = []rule{
	{
		name:  "functions are short",
		why:   "what does not fit on a screen is not read as a whole",
		check: longFuncs,
		breaks: []broken{
			{files{"x.go": "// Package x.\npackage x\nfunc f() {" + strings.Repeat("\n", maxFuncLines) + "}\n"}, "x.go:3: f has 71 lines, more than 70"},
		},
	},
	{
		name:  "files are about one subject",
		why:   "split it by subject, or give a reason in longFiles (repo_source_test.go)",
		check: longSources,
		breaks: []broken{
			{files{"a/x.go": "package a\n" + strings.Repeat("\n", maxFileLines)}, "a/x.go has 501 lines, more than 500"},
		},
	},
	{
		name:  "packages say once what they are for",
		why:   "one comment says what the package owns and what it never does",
		check: packageComments,
		breaks: []broken{
			{files{"b/x.go": "package b\n"}, "b: no package comment"},
			{files{"a/x.go": "// Package a is one.\npackage a\n", "a/y.go": "// Package a is two.\npackage a\n"}, "a: package comments in a/x.go, a/y.go"},
		},
	},
	{
		name:  "goroutines have an owner",
		why:   "somebody must wait for it: use sync.WaitGroup.Go or a group.Part, or name the file or its package in ARCHITECTURE.md's table of goroutines",
		check: bareGo,
		breaks: []broken{
			{files{"a/x.go": "package a\nfunc f() {\n\tgo f()\n}\n"}, "a/x.go:3: go statement"},
			{files{"a/x.go": "package a\nfunc f() {\n\tgo f()\n}\n", "ARCHITECTURE.md": "# A\n\nThe folder `a`.\n\n## Goroutines\n\n| `b` | x |\n"}, "a/x.go:3: go statement"},
		},
	},
	{
		name:  "only main ends the process",
		why:   "a library returns errors; cmd decides what they mean",
		check: exits,
		breaks: []broken{
			{files{"a/x.go": "package a\nimport \"os\"\nfunc f() {\n\tos.Exit(1)\n}\n"}, "a/x.go:4: os.Exit"},
		},
	},
	{
		name:  "nothing sleeps",
		why:   "a sleep cannot be told to end; use a timer and a context, and testing/synctest in tests",
		check: sleeps,
		breaks: []broken{
			{files{"a/x_test.go": "package a\nimport \"time\"\nfunc f() {\n\ttime.Sleep(1)\n}\n"}, "a/x_test.go:4: time.Sleep"},
		},
	},
	{
		name:  "skips say what they need",
		why:   `write t.Skip("needs ..."), or use internal/testneed, so that a report of skipped tests is a list of things to install`,
		check: skips,
		breaks: []broken{
			{files{"a/x_test.go": "package a\nfunc f(t *testing.T) {\n\tt.Skip(\"broken\")\n}\n"}, "a/x_test.go:3: t.Skip"},
		},
	},
	{
		name:  "every limit is tested",
		why:   "a limit that nobody has seen refuse may not exist; name it as limits.X in the test that shows it",
		check: untestedLimits,
		breaks: []broken{
			{files{
				"internal/limits/limits.go": "package limits\n\ntype Limits struct {\n\tA int\n\tB int\n}\n",
				"a/x_test.go":               "package a\n\n// limits.A\n",
			}, "limits.B"},
		},
	},
	{
		name:  "nothing is left for later",
		why:   "do it, or write it down where work is planned",
		check: leftovers,
		breaks: []broken{
			{files{"a/x.go": "package a\n\n// " + "TO" + "DO: think\n"}, "a/x.go:3: "},
		},
	},
}

func longFuncs(tr *tree) (problems []string) {
	for _, s := range tr.code {
		limit := maxFuncLines
		if s.test {
			limit = maxTestFuncLines
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || s.made {
				continue
			}
			if n := s.line(f.End()) - s.line(f.Pos()) + 1; n > limit {
				problems = append(problems, fmt.Sprintf("%s:%d: %s has %d lines, more than %d", s.path, s.line(f.Pos()), f.Name.Name, n, limit))
			}
		}
	}
	return problems
}

func longSources(tr *tree) (problems []string) {
	made := map[string]bool{}
	for _, s := range tr.code {
		made[s.path] = s.made
	}
	for _, p := range tr.paths {
		if !slices.Contains([]string{".go", ".c", ".h", ".js", ".css", ".sh"}, path.Ext(p)) || made[p] {
			continue
		}
		n := strings.Count(tr.text[p], "\n")
		_, excused := longFiles[p]
		switch {
		case n > maxFileLines && !excused:
			problems = append(problems, fmt.Sprintf("%s has %d lines, more than %d", p, n, maxFileLines))
		case n <= maxFileLines && excused:
			problems = append(problems, fmt.Sprintf("%s has %d lines and needs no excuse in longFiles any more", p, n))
		}
	}
	return problems
}

func packageComments(tr *tree) (problems []string) {
	with := map[string][]string{}
	var pkgs []string
	for _, s := range tr.code {
		if s.test {
			continue
		}
		if !slices.Contains(pkgs, s.pkg) {
			pkgs = append(pkgs, s.pkg)
		}
		if s.file.Doc != nil {
			with[s.pkg] = append(with[s.pkg], s.path)
		}
	}
	for _, p := range pkgs {
		switch len(with[p]) {
		case 0:
			problems = append(problems, p+": no package comment")
		case 1:
		default:
			problems = append(problems, p+": package comments in "+strings.Join(with[p], ", "))
		}
	}
	return problems
}

// bareGo finds go statements outside internal/group that the table of
// goroutines does not name, by file or by package. Whatever starts them
// otherwise waits for them by its nature.
func bareGo(tr *tree) (problems []string) {
	table := goroutineTable(tr.text["ARCHITECTURE.md"])
	for _, s := range tr.code {
		if s.test || s.pkg == "internal/group" || strings.Contains(table, "`"+s.path+"`") || strings.Contains(table, "`"+s.pkg+"`") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				problems = append(problems, fmt.Sprintf("%s:%d: go statement", s.path, s.line(g.Pos())))
			}
			return true
		})
	}
	return problems
}

// goroutineTable returns the section about goroutines.
func goroutineTable(markdown string) string {
	for section := range strings.SplitSeq(markdown, "\n## ") {
		if title, _, _ := strings.Cut(section, "\n"); strings.Contains(strings.ToLower(title), "goroutine") {
			return section
		}
	}
	return ""
}

func exits(tr *tree) (problems []string) {
	for _, s := range tr.code {
		if s.test || s.file.Name.Name == "main" {
			continue
		}
		for _, c := range calls(s) {
			if c.name == "os.Exit" || strings.HasPrefix(c.name, "log.Fatal") || strings.HasPrefix(c.name, "log.Panic") {
				problems = append(problems, fmt.Sprintf("%s:%d: %s", s.path, s.line(c.pos), c.name))
			}
		}
	}
	return problems
}

// sleeps lets tests in virtual time sleep: nobody waits for them.
func sleeps(tr *tree) (problems []string) {
	for _, s := range tr.code {
		virtual := slices.ContainsFunc(s.file.Imports, func(i *ast.ImportSpec) bool { return importPath(i) == "testing/synctest" })
		for _, c := range calls(s) {
			if c.name == "time.Sleep" && !(s.test && virtual) {
				problems = append(problems, fmt.Sprintf("%s:%d: time.Sleep", s.path, s.line(c.pos)))
			}
		}
	}
	return problems
}

func skips(tr *tree) (problems []string) {
	receivers := []string{"t", "b", "f", "tb"}
	for _, s := range tr.code {
		for _, c := range calls(s) {
			receiver, method, _ := strings.Cut(c.name, ".")
			if !slices.Contains(receivers, receiver) || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, method) {
				continue
			}
			if len(c.args) == 0 || !strings.Contains(literal(c.args[0]), "needs") {
				problems = append(problems, fmt.Sprintf("%s:%d: %s", s.path, s.line(c.pos), c.name))
			}
		}
	}
	return problems
}

func untestedLimits(tr *tree) (problems []string) {
	for _, s := range tr.code {
		if s.path != "internal/limits/limits.go" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != "Limits" {
				return true
			}
			for _, f := range spec.Type.(*ast.StructType).Fields.List {
				if name := "limits." + f.Names[0].Name; !tested(tr, name) {
					problems = append(problems, name+" stands in no test")
				}
			}
			return false
		})
	}
	return problems
}

func tested(tr *tree, name string) bool {
	word := regexp.MustCompile(regexp.QuoteMeta(name) + `\b`)
	return slices.ContainsFunc(tr.code, func(s *source) bool { return s.test && word.MatchString(s.text) })
}

// leftovers looks at comments of Go files and at all of other text.
func leftovers(tr *tree) (problems []string) {
	word := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	for _, s := range tr.code {
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				if word.MatchString(c.Text) {
					problems = append(problems, fmt.Sprintf("%s:%d: %s", s.path, s.line(c.Pos()), word.FindString(c.Text)))
				}
			}
		}
	}
	for _, p := range tr.paths {
		if path.Ext(p) == ".go" || strings.Contains(p, "testdata/") || path.Base(p) == "go.sum" {
			continue
		}
		for i, line := range strings.Split(tr.text[p], "\n") {
			if word.MatchString(line) {
				problems = append(problems, fmt.Sprintf("%s:%d: %s", p, i+1, word.FindString(line)))
			}
		}
	}
	return problems
}

// call is a call of a function of the form x.Name.
type call struct {
	name string
	pos  token.Pos
	args []ast.Expr
}

func calls(s *source) (out []call) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := c.Fun.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok {
				out = append(out, call{x.Name + "." + sel.Sel.Name, c.Pos(), c.Args})
			}
		}
		return true
	})
	return out
}

// literal returns the text of a string literal, of the first one when
// strings are added, and "" otherwise.
func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		if err != nil {
			return ""
		}
		return s
	case *ast.BinaryExpr:
		return literal(e.X)
	}
	return ""
}
