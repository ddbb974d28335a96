package configs

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strconv"

	"github.com/landfall-cdn/landfall/internal/must"
)

// NodeSchema returns the JSON Schema (2020-12) of the node file.
func NodeSchema() []byte { return schema(reflect.TypeFor[Node](), "Landfall node file") }

// SiteSchema returns the JSON Schema (2020-12) of the site document.
func SiteSchema() []byte { return schema(reflect.TypeFor[Site](), "Landfall site document") }

// schema describes a document as far as JSON Schema can: rules that span
// keys, and the inside of hosts and addresses, are judged by reading it.
func schema(t reflect.Type, title string) []byte {
	s := structSchema(t)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = title
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(s)
	must.True(err == nil, "schema of %s: %v", t, err)
	return out.Bytes()
}

func structSchema(t reflect.Type) map[string]any {
	properties := make(map[string]any)
	var required []string
	for _, f := range fieldsOf(t) {
		if f.key == "" {
			continue
		}
		p := fieldSchema(f)
		p["description"] = described(f)
		properties[f.key] = p
		if f.required {
			required = append(required, f.key)
		}
	}
	object := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if required != nil {
		object["required"] = required
	}
	if sf := scalarField(t); sf != nil {
		return map[string]any{"anyOf": []any{fieldSchema(sf), object}}
	}
	return object
}

func fieldSchema(f *field) map[string]any {
	var s map[string]any
	switch {
	case f.kind != nil:
		s = maps.Clone(f.kind.schema)
	case f.elem != nil:
		s = map[string]any{"type": "array", "items": fieldSchema(f.elem)}
		if f.required {
			s["minItems"] = 1
		}
		if f.items > 0 {
			s["maxItems"] = f.items
		}
	case f.typ.Kind() == reflect.Pointer:
		s = structSchema(f.typ.Elem())
	default:
		s = structSchema(f.typ)
	}
	if f.kind != nil && f.kind.tag == tagInt {
		for name, text := range map[string]string{"minimum": f.min, "maximum": f.max} {
			if n, ok := f.kind.bound(text); ok {
				s[name] = n
			}
		}
	}
	if f.def != "" {
		s["default"] = schemaDefault(f)
	}
	return s
}

// schemaDefault is the default as JSON has it.
func schemaDefault(f *field) any {
	if n, err := strconv.Atoi(f.def); err == nil {
		return n
	}
	if f.kind != nil && f.kind.tag == tagBool {
		return f.def == "true"
	}
	return f.def
}

// described is a field's sentence, with what is to be known about this
// version.
func described(f *field) string {
	switch {
	case len(f.inForce) == 0:
		return f.doc
	case len(f.enum) == 0:
		return f.doc + " (" + notInForce + ")"
	}
	return f.doc + " (" + oneOf(f.inForce) + "; others are " + notInForce + ")"
}
