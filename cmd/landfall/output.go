package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

// outputFlags are those of the verbs that list something.
type outputFlags struct {
	Output string `short:"o" enum:"table,json,yaml" default:"table" help:"table, json or yaml."`
}

// write writes v, or what table has to say of it.
func (f outputFlags) write(out io.Writer, v any, table func(*tableWriter)) error {
	switch f.Output {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		return writeYAML(out, v)
	}
	t := &tableWriter{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	table(t)
	return t.w.Flush()
}

// writeYAML writes what JSON says in YAML, in the same order.
func writeYAML(out io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil { // JSON is YAML
		return err
	}
	plain(&n)
	enc := yaml.NewEncoder(out)
	enc.SetIndent(2)
	if err := enc.Encode(&n); err != nil {
		return err
	}
	return enc.Close()
}

// plain takes away the braces and quotes that JSON needs.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
}

// tableWriter aligns columns.
type tableWriter struct{ w *tabwriter.Writer }

// row writes one line; an empty cell shows as a dash.
func (t *tableWriter) row(cells ...any) {
	var b strings.Builder
	for i, c := range cells {
		if i > 0 {
			b.WriteByte('\t')
		}
		s := fmt.Sprint(c)
		if s == "" {
			s = "-"
		}
		b.WriteString(s)
	}
	_, _ = fmt.Fprintln(t.w, b.String()) // Flush has the error
}
