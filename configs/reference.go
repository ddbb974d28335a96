package configs

import (
	"fmt"
	"reflect"
	"strings"
)

const referenceIntro = `# Configuration

<!-- Generated from the structs of package configs by "go generate ./configs". -->

Landfall reads two kinds of YAML documents: the [node file](#node-file), which an operator writes for
each node, and the [site document](#site-document), one for each site. JSON Schemas for editors are
[configs/node.schema.json](../../configs/node.schema.json) and
[configs/site.schema.json](../../configs/site.schema.json); examples are in
[configs/examples](../../configs/examples). ` + "`landfall check`" + ` reads documents as a node does, tells everything
that is wrong with them, and prints the node file in force.

- A key that is not listed here is an error, and so is a key that stands twice.
- A relative path begins in the folder of the document that it stands in.
- A duration is whole numbers with units, the largest first: ` + "`60s`, `1h30m`, `30d`" + `. Units are d, h, m, s, ms,
  us and ns. A number without a unit is an error.
- A size is a whole number with a unit: ` + "`256MiB`" + ` (1024 based), ` + "`1MB`" + ` (1000 based), ` + "`512B`" + `.
- A file holds one document of at most 1 MiB, without anchors, aliases and tags.
- A secret never stands in a document; its key names the file that holds it.
- Where "not in force" is said, the key is checked and has no effect in this version; reading it gives a
  warning.
`

// Reference returns the reference page of both documents, in Markdown.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(referenceIntro)
	b.WriteString("\n## Node file\n")
	referenceTables(&b, reflect.TypeFor[Node](), "")
	b.WriteString("\n## Site document\n")
	referenceTables(&b, reflect.TypeFor[Site](), "")
	return []byte(b.String())
}

// referenceTables writes one table for t, and one for each struct in it.
func referenceTables(b *strings.Builder, t reflect.Type, path string) {
	if path != "" {
		fmt.Fprintf(b, "\n### `%s`\n", path)
	}
	b.WriteString("\n| key | value | default | meaning |\n|---|---|---|---|\n")
	type section struct {
		path string
		typ  reflect.Type
	}
	var sections []section
	for _, f := range fieldsOf(t) {
		if f.key == "" {
			continue
		}
		value, sub := referenceValue(f)
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.key, escaped(value), referenceDefault(f), escaped(described(f)))
		if sub != nil && sub != reflect.TypeFor[Secret]() {
			key := f.key
			if f.elem != nil {
				key += "[]"
			}
			sections = append(sections, section{join(path, key), sub})
		}
	}
	for _, s := range sections {
		referenceTables(b, s.typ, s.path)
	}
}

// referenceValue says what a key takes, and the struct that is described
// in a table of its own.
func referenceValue(f *field) (value string, sub reflect.Type) {
	if f.kind != nil {
		value = brief(f.kind)
		if strings.HasSuffix(f.unit, "/s") {
			value += " per second"
		}
		if bounds := boundsText(f); bounds != "" {
			value += ", " + bounds
		}
		return value, nil
	}
	typ := f.typ
	switch {
	case f.elem != nil:
		value, sub = referenceValue(f.elem)
		if f.items > 0 {
			return fmt.Sprintf("list of at most %d: %s", f.items, value), sub
		}
		return "list: " + value, sub
	case typ.Kind() == reflect.Pointer:
		typ = typ.Elem()
	}
	if typ == reflect.TypeFor[Secret]() {
		return "{ file: path }", typ
	}
	if sf := scalarField(typ); sf != nil {
		return brief(sf.kind) + ", or mapping", typ
	}
	return "mapping", typ
}

// brief is a kind's name without article and examples.
func brief(k *kind) string {
	name, _, _ := strings.Cut(k.name, " such as ")
	return strings.TrimPrefix(strings.TrimPrefix(name, "a "), "an ")
}

func referenceDefault(f *field) string {
	switch {
	case f.required:
		return "required"
	case f.def != "":
		return "`" + f.def + "`"
	}
	return ""
}

// escaped keeps text from ending a cell of a table.
func escaped(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
