package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// ratios are the costs of a cell over those of its base, in each round
// that has both.
func ratios(c *cell, cells []*cell) (all []float64) {
	i := slices.IndexFunc(cells, func(d *cell) bool { return d.subject == c.subject && d.server == c.base })
	if i < 0 {
		return nil
	}
	for round, s := range c.samples {
		if base, ok := cells[i].samples[round]; ok && base.cost > 0 {
			all = append(all, s.cost/base.cost)
		}
	}
	return all
}

// median of what is there; the upper one of an even number.
func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// verdicts says which limits do not hold. A limit without a figure does
// not, and neither does one whose requests failed.
func verdicts(cells []*cell, o options) (over []string) {
	for _, c := range cells {
		limit, limited := o.limits[c.subject]
		if !limited || c.server == c.base {
			continue
		}
		all, what := ratios(c, cells), fmt.Sprintf("%s %s of %s", c.kind, c.path, c.server)
		switch {
		case c.failed != "":
			over = append(over, fmt.Sprintf("FAILED %s: %s", what, c.failed))
		case len(all) == 0:
			over = append(over, fmt.Sprintf("NO RATIO %s: its base has no figure", what))
		case median(all) > limit:
			over = append(over, fmt.Sprintf("OVER %s: ratio %.2f, limit %.2f", what, median(all), limit))
		}
	}
	return over
}

// table writes the result as one that a page can hold.
func table(cells []*cell) string {
	rows := [][]string{{"load", "object", "server", "cost", "least to most", "kernel", "req/s", "CPU", "ratio", "least to most"}}
	for _, c := range cells {
		rows = append(rows, row(c, cells))
	}
	return align(rows)
}

func row(c *cell, cells []*cell) []string {
	var cost, kernel, rate, busy []float64
	for _, s := range c.samples {
		cost, kernel, rate, busy = append(cost, s.cost), append(kernel, s.kernel), append(rate, s.rate), append(busy, s.busy)
	}
	r := []string{c.kind, c.path, c.server}
	if len(cost) == 0 {
		return append(r, "failed", "", "", "", "", "", "")
	}
	if c.failed != "" {
		r[2] += " (failures)"
	}
	unit := " us"
	if median(rate) == 0 {
		unit = " B"
	}
	r = append(r, figure(median(cost))+unit, figure(slices.Min(cost))+" to "+figure(slices.Max(cost)))
	if median(rate) > 0 {
		r = append(r, percent(median(kernel)), figure(median(rate)), percent(median(busy)))
	} else {
		r = append(r, "", "", "")
	}
	all := ratios(c, cells)
	if len(all) == 0 || c.server == c.base {
		return append(r, "", "")
	}
	return append(r, fmt.Sprintf("%.2f", median(all)), fmt.Sprintf("%.2f to %.2f", slices.Min(all), slices.Max(all)))
}

// figure shows what is significant.
func figure(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func percent(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }

// align draws rows as a Markdown table; the first is its head.
func align(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, f := range r {
			width[i] = max(width[i], utf8.RuneCountInString(f), 3)
		}
	}
	var b strings.Builder
	for n, r := range rows {
		for i, f := range r {
			fmt.Fprintf(&b, "| %-*s ", width[i], f)
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// describe says what was measured with what, on what.
func describe(ctx context.Context, o options) string {
	lines := []string{
		fmt.Sprintf("%s, %s, %s", time.Now().UTC().Format(time.DateOnly), machine(), runtime.Version()),
		strings.Join(versions(ctx, o), ", "),
		fmt.Sprintf("rounds: %d, of windows of %v; cost is CPU time of the server, or of both, per request, or memory per idle connection of %d", o.rounds, o.window, o.conns),
		"",
	}
	for _, k := range o.kinds {
		lines = append(lines, fmt.Sprintf("%-10s %s", k.name, k.about))
	}
	return strings.Join(lines, "\n") + "\n"
}

// machine is the processor's name.
func machine() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	m := regexp.MustCompile(`(?m)^model name\s*: (.*)$`).FindSubmatch(text)
	if m == nil {
		return runtime.GOARCH
	}
	return string(m[1])
}

// versions are those of the programs that take part.
func versions(ctx context.Context, o options) []string {
	v := []string{version(ctx, "nginx", "-v"), version(ctx, "wrk", "-v"), version(ctx, "h2load", "--version")}
	if info, err := buildinfo.ReadFile(o.caddy); err == nil { // what it prints itself depends on how it was built
		v = append(v, "caddy "+info.Main.Version)
	}
	return v
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

// version is a program's name with the first number of the kind that it
// prints.
func version(ctx context.Context, program, flag string) string {
	path, err := need(program, program)
	if err != nil {
		return ""
	}
	out, _ := exec.CommandContext(ctx, path, flag).CombinedOutput() // wrk ends with 1
	return filepath.Base(program) + " " + versionNumber.FindString(string(out))
}
