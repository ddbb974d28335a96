package configs

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/landfall-cdn/landfall/internal/limits"
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
	or       string // what may stand in place of a wrong word, for messages
}

// fieldsOf reads the tags of a struct type. Limits has tags of its own
// package, which say the same in other words.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		if !sf.IsExported() {
			continue
		}
		key, opts, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		f := field{
			index: i, key: key, scalar: opts == "scalar",
			doc: sf.Tag.Get("doc"), def: sf.Tag.Get("default"), required: sf.Tag.Get("required") == "true",
			enum: strings.Fields(sf.Tag.Get("enum")), inForce: strings.Fields(sf.Tag.Get("inforce")),
			min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
			format: sf.Tag.Get("format"), unit: sf.Tag.Get("unit"),
			schemes: strings.Fields(sf.Tag.Get("schemes")), typ: sf.Type,
		}
		f.items, _ = strconv.Atoi(sf.Tag.Get("items"))
		if t == reflect.TypeFor[limits.Limits]() {
			f.limit(sf)
		}
		out = append(out, f)
	}
	return out
}

// limit completes a field of limits.Limits. None can be switched off.
func (f *field) limit(sf reflect.StructField) {
	f.key = sf.Tag.Get("name")
	k, _ := kindOf(f)
	f.def = k.format(reflect.ValueOf(limits.Default()).Field(f.index))
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

// elem is the field as it holds for each element of a list.
func (f field) elem() field {
	return field{
		index: -1, enum: f.enum, min: f.min, max: f.max, format: f.format,
		unit: f.unit, schemes: f.schemes, typ: f.typ.Elem(),
	}
}

// unused reports whether a value of the field has no effect in this
// version. word is the value of a field with an enum.
func (f field) unused(word string) bool {
	return len(f.inForce) > 0 && !slices.Contains(f.inForce, word)
}

// scalarField is the field of t that a plain scalar stands for.
func scalarField(t reflect.Type) (field, bool) {
	for _, f := range fieldsOf(t) {
		if f.scalar {
			return f, true
		}
	}
	return field{}, false
}

// fill gives v, a struct, the defaults of its fields and of the structs
// in it. What is behind a pointer is absent until a document names it.
// dir is the folder that files are relative to.
func fill(v reflect.Value, dir string) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.Field(f.index)
		if k, ok := kindOf(&f); ok {
			if f.def != "" {
				x, err := k.parse(f.def, dir)
				mustDefault(v.Type(), f, err)
				assign(fv, x)
			}
			continue
		}
		if fv.Kind() != reflect.Struct {
			continue
		}
		fill(fv, dir)
		if sf, ok := scalarField(f.typ); ok && f.def != "" {
			k, _ := kindOf(&sf)
			x, err := k.parse(f.def, dir)
			mustDefault(v.Type(), f, err)
			assign(fv.Field(sf.index), x)
		}
	}
}
