package landfall_test

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

const maxReadmeLines = 110

// readmeSections are what somebody who has never heard of Landfall looks
// for, in this order.
var readmeSections = []string{"Try it", "Run it", "What works", "Test it", "Read on"}

// textRules are about everything that is not Go.
var textRules = []rule{
	{
		name:  "the usual files are there",
		why:   "people look for them by these names",
		check: usualFiles,
		breaks: []broken{
			{files{"README.md": "# Landfall\n"}, "CHANGELOG.md is missing"},
		},
	},
	{
		name:  "the readme is short and has its sections",
		why:   "a reader looks for these, in this order; the rest belongs in docs/",
		check: readme,
		breaks: []broken{
			{files{"README.md": "# Landfall\n" + strings.Repeat("\n", maxReadmeLines)}, "README.md has 111 lines, more than 110"},
			{files{"README.md": "# Landfall\n\n## What works\n\n## Try it\n"}, `README.md has the sections ["What works" "Try it"]`},
		},
	},
	{
		name:  "continuous integration runs what the readme says",
		why:   "a test command that nobody runs stops working",
		check: testCommand,
		breaks: []broken{
			{files{"README.md": "Run `make test`.\n", ".ci/run": "go test ./...\n", "Makefile": "test:\n"}, ".ci/run does not call make test"},
		},
	},
	{
		name:  "the changelog has room for the next change",
		why:   "a change that users can notice gets its line when it is made",
		check: changelog,
		breaks: []broken{
			{files{"CHANGELOG.md": "# Changelog\n\n## 1.0.0\n"}, "CHANGELOG.md has no section Unreleased"},
		},
	},
	{
		name:  "links lead somewhere",
		why:   "a page moved, or a heading was renamed",
		check: deadLinks,
		breaks: []broken{
			{files{"docs/a.md": "# A\n\nSee [b](b.md), [c](c.md#two) and [up](../docs/).\n", "docs/c.md": "# C\n\n## One\n"}, "docs/a.md:3: docs/b.md does not exist"},
			{files{"docs/a.md": "# A\n\nSee [c](c.md#two).\n", "docs/c.md": "# C\n\n## One\n"}, "docs/a.md:3: docs/c.md has no heading #two"},
		},
	},
	{
		name:  "pages name files that exist",
		why:   "the file was moved or renamed",
		check: lostFiles,
		breaks: []broken{
			{files{"docs/a.md": "See\n`edge/path.go`.\n", "edge/route.go": "package edge\n"}, "docs/a.md:2: edge/path.go does not exist"},
		},
	},
	{
		name:  "decisions are numbered and complete",
		why:   "a decision without what it costs is an opinion",
		check: decisions,
		breaks: []broken{
			{files{"docs/decisions/0001-x.md": "# X\n\n## Context\n\n## Choice\n\n## What would change our mind\n"}, "docs/decisions/0001-x.md has no section What it costs"},
		},
	},
	{
		name:  "nothing speaks of one machine",
		why:   "it means nothing anywhere else",
		check: machines,
		breaks: []broken{
			{files{"a/x.go": "package a\n\n// See /wo" + "rk/shared/x.\n"}, "a/x.go:3: /wo" + "rk/"},
		},
	},
}

func usualFiles(tr *tree) (problems []string) {
	for _, name := range []string{
		"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "STYLE.md", "SECURITY.md", "CHANGELOG.md",
		"LICENSE", "Makefile", ".ci/run", "docs/README.md", "docs/glossary.md",
	} {
		if !slices.Contains(tr.paths, name) {
			problems = append(problems, name+" is missing")
		}
	}
	return problems
}

func readme(tr *tree) (problems []string) {
	text := tr.text["README.md"]
	if n := strings.Count(text, "\n"); n > maxReadmeLines {
		problems = append(problems, fmt.Sprintf("README.md has %d lines, more than %d", n, maxReadmeLines))
	}
	if got := sections(text); !inOrder(readmeSections, got) {
		problems = append(problems, fmt.Sprintf("README.md has the sections %q, want %q", got, readmeSections))
	}
	return problems
}

// inOrder reports whether all of want are in got, in the same order.
func inOrder(want, got []string) bool {
	for _, s := range got {
		if len(want) > 0 && s == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// sections returns the headings of the second level.
func sections(markdown string) (out []string) {
	for _, line := range prose(markdown) {
		if s, ok := strings.CutPrefix(line, "## "); ok {
			out = append(out, strings.TrimSpace(s))
		}
	}
	return out
}

// prose returns the lines of a page, those of code blocks empty.
func prose(markdown string) []string {
	lines := strings.Split(markdown, "\n")
	inCode := false
	for i, line := range lines {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence {
			inCode = !inCode
		}
		if fence || inCode {
			lines[i] = ""
		}
	}
	return lines
}

func testCommand(tr *tree) (problems []string) {
	for _, name := range []string{"README.md", ".ci/run"} {
		if !strings.Contains(tr.text[name], "make test") {
			problems = append(problems, name+" does not call make test")
		}
	}
	if !regexp.MustCompile(`(?m)^test:`).MatchString(tr.text["Makefile"]) {
		problems = append(problems, "Makefile has no target test")
	}
	return problems
}

func changelog(tr *tree) []string {
	if !slices.Contains(sections(tr.text["CHANGELOG.md"]), "Unreleased") {
		return []string{"CHANGELOG.md has no section Unreleased"}
	}
	return nil
}

var (
	linkPattern = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	slugPattern = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func deadLinks(tr *tree) (problems []string) {
	for _, page := range tr.paths {
		if path.Ext(page) != ".md" || strings.Contains(page, "testdata/") {
			continue
		}
		for i, line := range prose(tr.text[page]) {
			for _, m := range linkPattern.FindAllStringSubmatch(line, -1) {
				if problem := deadLink(tr, page, m[1]); problem != "" {
					problems = append(problems, fmt.Sprintf("%s:%d: %s", page, i+1, problem))
				}
			}
		}
	}
	return problems
}

// deadLink says what is wrong with a link of a page, "" when nothing is.
// What is on other hosts is not looked at: tests need no network.
func deadLink(tr *tree, page, link string) string {
	if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
		return ""
	}
	target, anchor, _ := strings.Cut(link, "#")
	file := page
	if target != "" {
		file = path.Join(path.Dir(page), target)
	}
	isFolder := file == "." || slices.ContainsFunc(tr.paths, func(p string) bool { return strings.HasPrefix(p, file+"/") })
	if !isFolder && !slices.Contains(tr.paths, file) {
		return file + " does not exist"
	}
	if anchor == "" || path.Ext(file) != ".md" {
		return ""
	}
	for _, line := range prose(tr.text[file]) {
		if title := strings.TrimLeft(line, "#"); title != line && slug(title) == anchor {
			return ""
		}
	}
	return file + " has no heading #" + anchor
}

// lostFiles looks at Go files in backquotes, given from the root or by
// their last element. What a changelog speaks of may be gone.
func lostFiles(tr *tree) (problems []string) {
	name := regexp.MustCompile("`([a-z0-9_/]+\\.go)`")
	for _, page := range tr.paths {
		if path.Ext(page) != ".md" || page == "CHANGELOG.md" {
			continue
		}
		for i, line := range prose(tr.text[page]) {
			for _, m := range name.FindAllStringSubmatch(line, -1) {
				if !slices.ContainsFunc(tr.paths, func(p string) bool { return p == m[1] || path.Base(p) == m[1] }) {
					problems = append(problems, fmt.Sprintf("%s:%d: %s does not exist", page, i+1, m[1]))
				}
			}
		}
	}
	return problems
}

// slug returns the anchor that GitHub gives a heading.
func slug(title string) string {
	title = strings.ToLower(strings.TrimSpace(title))
	return strings.ReplaceAll(slugPattern.ReplaceAllString(title, ""), " ", "-")
}

func decisions(tr *tree) (problems []string) {
	want := 1
	for _, p := range tr.paths {
		if path.Dir(p) != "docs/decisions" || path.Ext(p) != ".md" || path.Base(p) == "README.md" {
			continue
		}
		if prefix := fmt.Sprintf("%04d-", want); !strings.HasPrefix(path.Base(p), prefix) {
			problems = append(problems, fmt.Sprintf("%s should be number %04d", p, want))
		}
		want++
		got := sections(tr.text[p])
		for _, s := range []string{"Context", "Choice", "What it costs", "What would change our mind"} {
			if !slices.Contains(got, s) {
				problems = append(problems, fmt.Sprintf("%s has no section %s", p, s))
			}
		}
	}
	return problems
}

// machines finds paths of a developer's machine and hosts of package
// registries, written here in halves so that this file passes.
func machines(tr *tree) (problems []string) {
	word := regexp.MustCompile(`(?:^|[^\w./-])(/wo` + `rk/|/ro` + `ot/|/ho` + `me/\w)|goproxy\.|proxy\.gol` + `ang|sum\.gol` + `ang|registry\.npm` + `js|deb\.debian\.org/|pypi\.org`)
	for _, p := range tr.paths {
		for i, line := range strings.Split(tr.text[p], "\n") {
			if m := word.FindString(line); m != "" {
				problems = append(problems, fmt.Sprintf("%s:%d: %s", p, i+1, strings.TrimSpace(m)))
			}
		}
	}
	return problems
}
