package configs

import (
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder reads one document into Go values after the tags of their
// fields. It goes on after an error, so that all are told at once.
type decoder struct {
	source
	dir   string // files are relative to it
	opt   Options
	diags Diagnostics
	bad   map[string]bool // paths that an error was found at
}

// checker is a struct with rules that span its fields. It runs once the
// struct is read, errors or not.
type checker interface{ check(in scope) }

// decode reads data into v, a pointer to a struct, and returns where its
// values stand.
func decode(file string, data []byte, v any, opt Options) (source, Diagnostics) {
	d := &decoder{
		source: source{file: file, at: make(map[string]position)},
		dir:    filepath.Dir(file), opt: opt, bad: make(map[string]bool),
	}
	root, broken := parseYAML(file, data)
	if broken != nil {
		d.diags = Diagnostics{*broken}
		d.hintCut(data)
		return d.source, d.diags
	}
	rv := reflect.ValueOf(v).Elem()
	fill(rv, d.dir)
	d.value(root, rv, &field{typ: rv.Type()}, "")
	d.hintCut(data)
	d.diags.sort()
	return d.source, d.diags
}

// hintCut adds, to a refused file without a final line break, that it
// may have been read while it was being written.
func (d *decoder) hintCut(data []byte) {
	if !d.diags.HasErrors() || len(data) == 0 || data[len(data)-1] == '\n' {
		return
	}
	d.diags = append(d.diags, Diagnostic{
		File: d.file, Line: 1 + strings.Count(string(data), "\n"), Severity: Warning,
		Message: "the file does not end with a line break; it may have been cut off while it was written",
	})
}

// report adds a finding about path, which stands at n.
func (d *decoder) report(sev Severity, n *yaml.Node, path, format string, args ...any) {
	if sev == Error {
		d.bad[path] = true
	}
	d.diags = append(d.diags, Diagnostic{
		File: d.file, Line: n.Line, Column: n.Column, Path: path,
		Severity: sev, Message: fmt.Sprintf(format, args...),
	})
}

// value reads n into v as f says.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f *field, path string) {
	d.at[path] = position{n.Line, n.Column}
	switch {
	case n.Kind == yaml.AliasNode:
		d.report(Error, n, path, "is a YAML alias; write the value out, aliases are not accepted")
		return
	case n.Anchor != "":
		d.report(Error, n, path, "has a YAML anchor; remove it, anchors are not accepted")
	case n.Style&yaml.TaggedStyle != 0:
		d.report(Error, n, path, "has the YAML tag %s; remove it, tags are not accepted", quoted(n.Tag))
		return
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		d.report(Error, n, path, "has no value; expected %s, or remove the key", expected(f))
		return
	}
	if f.kind != nil {
		d.scalar(n, v, f, path)
		return
	}
	switch v.Kind() {
	case reflect.Slice:
		d.list(n, v, f, path)
	case reflect.Pointer:
		section := reflect.New(f.typ.Elem())
		fill(section.Elem(), d.dir)
		v.Set(section)
		d.section(n, section.Elem(), path)
	default:
		d.section(n, v, path)
	}
	if f.unused("") {
		d.report(Warning, n, path, notInForce)
	}
}

const notInForce = "accepted, not in force in this version"

// scalar reads one value.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f *field, path string) {
	k := f.kind
	if n.Kind != yaml.ScalarNode {
		d.report(Error, n, path, "expected %s, found %s", k.name, found(n))
		return
	}
	if k.tag != "" && n.ShortTag() != k.tag {
		d.report(Error, n, path, "expected %s, found %s%s", k.name, found(n), quoteHint(n, k))
		return
	}
	x, err := k.parse(n.Value, d.dir)
	if err != nil {
		d.report(Error, n, path, "%v%s", err, f.or)
		return
	}
	if bounds := k.outside(f, x); bounds != "" {
		d.report(Error, n, path, "%s is out of range; expected %s", n.Value, bounds)
		return
	}
	assign(v, x)
	word := ""
	if len(f.enum) > 0 {
		word = n.Value
	}
	if f.unused(word) {
		d.report(Warning, n, path, notInForce)
	}
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, f *field, path string) {
	if n.Kind != yaml.SequenceNode {
		hint := ""
		if n.Kind == yaml.ScalarNode {
			hint = "; put it in [ ]"
		}
		d.report(Error, n, path, "expected %s, found %s%s", expected(f), found(n), hint)
		return
	}
	if len(n.Content) == 0 && f.required {
		d.report(Error, n, path, "is empty; expected at least one: %s", f.doc)
	}
	if f.items > 0 && len(n.Content) > f.items {
		d.report(Error, n, path, "has %d elements; at most %d are accepted", len(n.Content), f.items)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		e := out.Index(i)
		if f.elem.kind == nil {
			fill(e, d.dir)
		}
		d.value(c, e, f.elem, path+"["+strconv.Itoa(i)+"]")
	}
	if len(n.Content) > 0 {
		v.Set(out)
	}
}

// section reads a mapping, or the scalar that may stand for it.
func (d *decoder) section(n *yaml.Node, v reflect.Value, path string) {
	sf := scalarField(v.Type())
	switch {
	case n.Kind == yaml.MappingNode:
		if sf != nil && sf.key == "" {
			v.Field(sf.index).SetZero()
		}
		d.mapping(n, v, path)
	case n.Kind == yaml.ScalarNode && sf != nil:
		word, target := *sf, path
		if sf.key != "" {
			target = join(path, sf.key)
		} else {
			word.or = ", or " + keysOf(v.Type())
		}
		d.value(n, v.Field(sf.index), &word, target)
	default:
		d.report(Error, n, path, "expected %s, found %s", expected(&field{typ: v.Type()}), found(n))
		return
	}
	if c, ok := v.Addr().Interface().(checker); ok {
		c.check(scope{d, n, path})
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	keys := make(map[string]*field)
	var names []string
	for _, f := range fieldsOf(v.Type()) {
		if f.key != "" {
			keys[f.key], names = f, append(names, f.key)
		}
	}
	first := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.report(Error, key, path, "a key must be a word, found %s", found(key))
			continue
		}
		name, child := key.Value, join(path, shown(key.Value))
		if line, dup := first[name]; dup {
			d.report(Error, key, child, "duplicate key, the first is in line %d; remove one", line)
			continue
		}
		first[name] = key.Line
		f, ok := keys[name]
		if !ok {
			d.report(Error, key, child, "unknown key%s", instead(name, names))
			continue
		}
		d.value(val, v.Field(f.index), f, child)
	}
	for _, name := range names {
		if _, ok := first[name]; !ok && keys[name].required {
			d.report(Error, n, join(path, name), "missing; expected %s: %s", expected(keys[name]), keys[name].doc)
		}
	}
}

// instead says what may stand in place of an unknown key.
func instead(name string, names []string) string {
	if name == "<<" {
		return "; YAML merge keys are not accepted, repeat the keys"
	}
	if s := suggestion(name, names); s != "" {
		return s
	}
	return "; allowed are " + strings.Join(names, ", ")
}

// expected says in words what a field takes.
func expected(f *field) string {
	typ := f.typ
	switch {
	case f.kind != nil:
		return f.kind.name
	case f.elem != nil:
		return "a list, each element " + expected(f.elem)
	case typ.Kind() == reflect.Pointer:
		typ = typ.Elem()
	}
	if typ == reflect.TypeFor[Secret]() {
		return "{ file: path }, a secret never stands in a document"
	}
	if sf := scalarField(typ); sf != nil {
		return sf.kind.name + ", or " + keysOf(typ)
	}
	return keysOf(typ)
}

// keysOf says what a mapping holds.
func keysOf(t reflect.Type) string {
	var names []string
	for _, f := range fieldsOf(t) {
		if f.key != "" {
			names = append(names, f.key)
		}
	}
	return "a mapping with " + strings.Join(names, ", ")
}

// found says in words what a document has. The value itself is not
// shown: it may be a secret in the wrong place.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case tagInt, "!!float":
		return "a number"
	case tagBool:
		return "true or false"
	case "!!timestamp":
		return "a date"
	}
	return "a text"
}

// quoteHint says that a scalar has the wrong type only for its quotes,
// or for their absence.
func quoteHint(n *yaml.Node, k *kind) string {
	if k.tag == tagString {
		return "; put it in quotes"
	}
	if _, err := k.parse(n.Value, ""); err == nil && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return "; remove the quotes"
	}
	return ""
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,40}$`)

// shown is a key as paths have it.
func shown(key string) string {
	if plainKey.MatchString(key) {
		return key
	}
	return quoted(key)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
