// Package landfall_test holds the house rules: what STYLE.md says and a
// machine can check. Each rule is a function from the files to a list of
// problems, with a small tree that breaks it, so that a rule that has
// stopped working is noticed too.
package landfall_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// rule is one house rule.
type rule struct {
	name  string
	why   string // printed with every problem
	check func(*tree) []string
	// breaks are trees that violate it, each with a part of the problem
	// that must be reported.
	breaks []broken
}

type broken struct {
	files files
	says  string
}

// files is a small tree: content by path.
type files map[string]string

// rules are all of them but the arrows, which have a file of their own.
func rules() []rule {
	return slices.Concat(sourceRules, importRules, textRules)
}

func TestHouseRules(t *testing.T) {
	here := load(t, os.DirFS("."))
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, problem := range r.check(here) {
				t.Errorf("%s: %s", problem, r.why)
			}
		})
	}
}

// TestHouseRulesCanFail holds each rule to the trees that break it.
func TestHouseRulesCanFail(t *testing.T) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			if len(r.breaks) == 0 {
				t.Error("nothing shows that this rule can fail")
			}
			for _, b := range r.breaks {
				problems := r.check(load(t, b.files.fs()))
				if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, b.says) }) {
					t.Errorf("problems %q, want one with %q", problems, b.says)
				}
			}
		})
	}
}

// tree is the repository as the rules see it.
type tree struct {
	paths []string          // every file, sorted
	text  map[string]string // content of what is text
	code  []*source
}

// source is one parsed Go file.
type source struct {
	path string
	pkg  string // folder of the package, "." for the root
	test bool
	made bool // generated
	text string
	fset *token.FileSet
	file *ast.File
}

// line returns the line of a position.
func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

func (f files) fs() fs.FS {
	m := fstest.MapFS{}
	for name, content := range f {
		m[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

// load reads what belongs to the repository: everything but what
// .gitignore names.
func load(t *testing.T, root fs.FS) *tree {
	t.Helper()
	ignored := ignore(root)
	tr := &tree{text: map[string]string{}}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if ignored(name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		tr.paths = append(tr.paths, name)
		if !bytes.ContainsRune(data, 0) {
			tr.text[name] = string(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	tr.parse(t)
	return tr
}

// ignore understands the patterns that our .gitignore has: a name with
// wildcards, anchored with a leading slash or not.
func ignore(root fs.FS) func(name string) bool {
	patterns := []string{"/.git"}
	if data, err := fs.ReadFile(root, ".gitignore"); err == nil {
		patterns = append(patterns, strings.Fields(string(data))...)
	}
	return func(name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			p = strings.TrimSuffix(p, "/")
			target := path.Base(name)
			if anchored, ok := strings.CutPrefix(p, "/"); ok {
				p, target = anchored, name
			}
			matched, err := path.Match(p, target)
			return err == nil && matched
		})
	}
}

// neverBuilt marks files that belong to no package.
var neverBuilt = regexp.MustCompile(`(?m)^//go:build (ignore|deps)$`)

func (tr *tree) parse(t *testing.T) {
	t.Helper()
	for _, name := range tr.paths {
		text := tr.text[name]
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata/") || neverBuilt.MatchString(text) {
			continue
		}
		s := &source{
			path: name, pkg: path.Dir(name), text: text,
			test: strings.HasSuffix(name, "_test.go"),
			fset: token.NewFileSet(),
		}
		var err error
		if s.file, err = parser.ParseFile(s.fset, name, text, parser.ParseComments); err != nil {
			t.Fatal(err)
		}
		s.made = ast.IsGenerated(s.file)
		tr.code = append(tr.code, s)
	}
}

// matches reports whether a package fits a pattern: a folder, or with
// "/..." the folder and everything below it.
func matches(pattern, pkg string) bool {
	folder, deep := strings.CutSuffix(pattern, "/...")
	return pkg == folder || deep && strings.HasPrefix(pkg, folder+"/")
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}
