package configs

import (
	"bytes"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// EncodeYAML writes the node file in force: every default filled in,
// every path resolved. Reading it gives an equal Node.
func (n *Node) EncodeYAML() ([]byte, error) { return encode(n) }

// EncodeYAML writes the site document in force: every default filled in,
// every path resolved. Reading it gives an equal Site.
func (s *Site) EncodeYAML() ([]byte, error) { return encode(s) }

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(mappingNode(reflect.ValueOf(v).Elem())); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return b.Bytes(), nil
}

// mappingNode writes a struct. What is absent and has no default stays
// absent.
func mappingNode(v reflect.Value) *yaml.Node {
	if sf := scalarField(v.Type()); sf != nil && sf.key == "" && !v.Field(sf.index).IsZero() {
		return valueNode(v.Field(sf.index), sf)
	}
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range fieldsOf(v.Type()) {
		fv := v.Field(f.index)
		if f.key == "" || fv.IsZero() && f.def == "" && !f.required {
			continue
		}
		val := valueNode(fv, f)
		if val.Kind == yaml.MappingNode && len(val.Content) == 0 {
			continue
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: tagString, Value: f.key}, val)
	}
	return n
}

func valueNode(v reflect.Value, f *field) *yaml.Node {
	if f.kind != nil {
		return scalarNode(f.kind, v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		return mappingNode(v.Elem())
	case reflect.Struct:
		return mappingNode(v)
	}
	n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for i := range v.Len() {
		e := valueNode(v.Index(i), f.elem)
		if e.Kind == yaml.ScalarNode {
			n.Style = yaml.FlowStyle
		}
		n.Content = append(n.Content, e)
	}
	return n
}

func scalarNode(k *kind, v reflect.Value) *yaml.Node {
	// The tag makes the encoder quote a text that would otherwise be read
	// as something else; without a tag the text is written as it is.
	tag := k.tag
	if v.Kind() == reflect.String {
		tag = tagString
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: k.format(v)}
}
