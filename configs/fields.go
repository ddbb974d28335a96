package configs

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/landfall-cdn/landfall/internal/limits"
	"github.com/landfall-cdn/landfall/internal/must"
)

// field is one key of a mapping, as the tags of a struct field state it:
//
//	yaml      the key; ",scalar" marks the field that a plain scalar in
//	          place of the mapping stands for
//	doc       the reference's sentence
//	default   value when the key is absent, as a document would write it
//	required  "true": the key must be there, a list must not be empty
//	enum      the words allowed, separated by spaces
//	inforce   which of the words have an effect in this version; "none"
//	          on a key without enum means that the key has none
//	min, max  bounds, as a document would write them
//	format    what a string holds (see formats); of a list, each element
//	unit      "bytes...": an integer is written as a size
//	items     how many elements a list may have
//	schemes   the schemes allowed in a URL, separated by spaces
type field struct {
	index    int
	key      string
	scalar   bool // a scalar in place of the mapping sets this field
	doc      string
	def      string
	required bool
	enum     []string
	inForce  []string // none: all
	min, max string
	format   string
	unit     string
	items    int // 0: any number
	schemes  []string
	typ      reflect.Type
	kind     *kind  // nil: written as a mapping or a list
	elem     *field // of a list: the field as it holds for each element
	or       string // what else may stand here, for messages
}

// documents holds the fields of each struct of both documents.
var documents = func() map[reflect.Type][]*field {
	all := make(map[reflect.Type][]*field)
	readFields(all, reflect.TypeFor[Node]())
	readFields(all, reflect.TypeFor[Site]())
	return all
}()

// fieldsOf returns the fields of a struct of a document, in order.
func fieldsOf(t reflect.Type) []*field { return documents[t] }

// readFields reads the tags of a struct type and of those in it.
func readFields(all map[reflect.Type][]*field, t reflect.Type) {
	if all[t] != nil {
		return
	}
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		f := newField(t, sf, i)
		all[t] = append(all[t], f)
		switch {
		case f.kind != nil:
		case f.elem != nil && f.elem.kind != nil:
		case f.elem != nil:
			readFields(all, f.elem.typ)
		case f.typ.Kind() == reflect.Pointer:
			readFields(all, f.typ.Elem())
		default:
			readFields(all, f.typ)
		}
	}
}

// newField reads the tags of one field. Limits has tags of its own
// package, which say the same in other words.
func newField(t reflect.Type, sf reflect.StructField, index int) *field {
	key, opts, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
	f := &field{
		index: index, key: key, scalar: opts == "scalar",
		doc: sf.Tag.Get("doc"), def: sf.Tag.Get("default"), required: sf.Tag.Get("required") == "true",
		enum: strings.Fields(sf.Tag.Get("enum")), inForce: strings.Fields(sf.Tag.Get("inforce")),
		min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
		format: sf.Tag.Get("format"), unit: sf.Tag.Get("unit"),
		schemes: strings.Fields(sf.Tag.Get("schemes")), typ: sf.Type,
	}
	f.items, _ = strconv.Atoi(sf.Tag.Get("items"))
	f.kind = kindOf(f)
	if f.kind == nil && f.typ.Kind() == reflect.Slice {
		f.elem = &field{
			enum: f.enum, min: f.min, max: f.max, format: f.format,
			unit: f.unit, schemes: f.schemes, typ: f.typ.Elem(),
		}
		f.elem.kind = kindOf(f.elem)
	}
	if t == reflect.TypeFor[limits.Limits]() {
		f.limit(sf)
	}
	return f
}

// limit completes a field of limits.Limits. None can be switched off.
func (f *field) limit(sf reflect.StructField) {
	f.key = sf.Tag.Get("name")
	f.def = f.kind.format(reflect.ValueOf(limits.Default()).Field(f.index))
	f.min, f.max = "1", "2147483647"
	switch {
	case strings.HasPrefix(f.unit, "bytes"):
		f.min, f.max = "1B", ""
	case f.typ.Kind() == reflect.Int64: // a duration
		f.min, f.max = "1ms", "1d"
	}
	// Windows are bounded by HTTP/2 itself (RFC 9113, 6.9.1 and 6.9.2).
	switch f.key {
	case "stream_window":
		f.max = "2147483647B"
	case "conn_window":
		f.min, f.max = "65535B", "2147483647B"
	}
}

// unused reports whether a value of the field has no effect in this
// version. word is the value of a field with an enum.
func (f *field) unused(word string) bool {
	return len(f.inForce) > 0 && !slices.Contains(f.inForce, word)
}

// scalarField is the field of t that a plain scalar stands for, nil when
// none does.
func scalarField(t reflect.Type) *field {
	for _, f := range fieldsOf(t) {
		if f.scalar {
			return f
		}
	}
	return nil
}

// fill gives v, a struct, the defaults of its fields and of the structs
// in it. What is behind a pointer is absent until a document names it.
// dir is the folder that files are relative to.
func fill(v reflect.Value, dir string) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.Field(f.index)
		switch {
		case f.kind != nil:
			f.setDefault(fv, f.def, dir)
		case fv.Kind() == reflect.Struct:
			fill(fv, dir)
			if sf := scalarField(f.typ); sf != nil {
				sf.setDefault(fv.Field(sf.index), f.def, dir)
			}
		}
	}
}

func (f *field) setDefault(v reflect.Value, text, dir string) {
	if text == "" {
		return
	}
	x, err := f.kind.parse(text, dir)
	must.True(err == nil, "default of %s: %v", f.key, err)
	assign(v, x)
}
