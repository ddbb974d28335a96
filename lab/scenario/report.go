package scenario

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Write prints a table of what was measured against what must hold, and
// reports whether everything did. A scenario that was run again because it
// was late has all its figures.
func Write(out io.Writer, results []Result) (ok bool) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) } // Flush has the error
	row("SCENARIO", "WHAT", "MUST", "MEASURED", "")
	ok = true
	var notes []string
	for i := range results {
		r := &results[i]
		ok = ok && r.OK()
		switch {
		case r.Skipped != "":
			row(r.Name, r.Skipped, "-", "-", "skipped")
		case len(r.Tries) == 0:
			row(r.Name, "-", "-", "-", "FAILED")
		}
		for n, rows := range r.Tries {
			name := r.Name
			if len(r.Tries) > 1 {
				name = fmt.Sprintf("%s, try %d", r.Name, n+1)
			}
			for _, m := range rows {
				if m.Must == "" {
					notes = append(notes, fmt.Sprintf("%s: %s: %s", name, m.What, m.Measured))
					continue
				}
				row(name, m.What, m.Must, m.Measured, verdict(m))
			}
		}
		if r.Error != "" {
			row(r.Name, "could not be run to its end", "-", strings.ReplaceAll(r.Error, "\n", "; "), "FAILED")
		}
	}
	_ = t.Flush() // what cannot be printed was measured all the same
	_, _ = fmt.Fprintln(out)
	for _, note := range notes {
		_, _ = fmt.Fprintln(out, note)
	}
	failed := []string{}
	total := time.Duration(0)
	for i := range results {
		total += results[i].Took
		if !results[i].OK() {
			failed = append(failed, results[i].Name)
		}
	}
	_, _ = fmt.Fprintf(out, "\n%d scenarios in %v", len(results), total.Round(time.Second))
	if len(failed) > 0 {
		_, _ = fmt.Fprintf(out, "; FAILED: %s", strings.Join(failed, ", "))
	}
	_, _ = fmt.Fprintln(out)
	return ok
}

func verdict(r Row) string {
	switch {
	case r.OK:
		return "ok"
	case r.Late:
		return "LATE"
	}
	return "FAILED"
}
