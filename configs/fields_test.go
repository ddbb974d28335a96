package configs

import (
	"encoding/json"
	"regexp"
	"testing"
)

var keyPattern = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)

// TestTags holds every field to the rules of its tags: the decoder, the
// schemas and the reference depend on them.
func TestTags(t *testing.T) {
	for typ, fields := range documents {
		seen := make(map[string]bool)
		for _, f := range fields {
			name := typ.Name() + "." + typ.Field(f.index).Name
			if f.key == "" && !f.scalar || f.key != "" && !keyPattern.MatchString(f.key) || seen[f.key] {
				t.Errorf("%s has the key %q", name, f.key)
			}
			seen[f.key] = true
			if f.doc == "" {
				t.Errorf("%s has no doc", name)
			}
			if f.required && f.def != "" {
				t.Errorf("%s is required and has a default", name)
			}
			checkBounds(t, name, f)
		}
	}
}

// checkBounds reads the default and the bounds of a field, and wants the
// default within the bounds.
func checkBounds(t *testing.T, name string, f *field) {
	if f.kind == nil {
		if f.min != "" || f.max != "" {
			t.Errorf("%s has bounds and is no scalar", name)
		}
		return
	}
	for _, text := range []string{f.def, f.min, f.max} {
		if text == "" {
			continue
		}
		x, err := f.kind.parse(text, "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if out := f.kind.outside(f, x); out != "" {
			t.Errorf("%s: %s is outside of its own bounds, %s", name, text, out)
		}
	}
}

func TestSchemasAreJSON(t *testing.T) {
	for name, data := range map[string][]byte{"node": NodeSchema(), "site": SiteSchema()} {
		var s struct {
			Schema     string `json:"$schema"`
			Properties map[string]any
			Required   []string
		}
		if err := json.Unmarshal(data, &s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s.Schema != "https://json-schema.org/draft/2020-12/schema" || len(s.Properties) < 10 || len(s.Required) != 2 {
			t.Errorf("%s: %q, %d properties, required %v", name, s.Schema, len(s.Properties), s.Required)
		}
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"hostnames", "name", "http", "tls", "origins", "cache"}
	for written, want := range map[string]string{
		"hostname": "hostnames", "hostNames": "hostnames", "host_names": "hostnames", "orgins": "origins",
		"origin": "origins", "cahce": "cache", "htpp": "http", "TLS": "tls", "tsl": "tls",
		"gzip": "", "": "", "x": "", "compression": "", "servers": "",
	} {
		if got := nearest(written, keys); got != want {
			t.Errorf("nearest(%q) = %q, want %q", written, got, want)
		}
	}
}
