package configs

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// scope is what the rules of one struct see of its document.
type scope struct {
	d    *decoder
	n    *yaml.Node
	path string
}

// has reports whether the document has the key, right or wrong. A key
// may be a path from here, such as "health.timeout".
func (s scope) has(key string) bool {
	_, ok := s.d.at[join(s.path, key)]
	return ok
}

// good reports whether the keys have values that rules can go by: their
// defaults, or what the document says unless some of it was refused.
func (s scope) good(keys ...string) bool {
	for _, k := range keys {
		path := join(s.path, k)
		for bad := range s.d.bad {
			rest, under := strings.CutPrefix(bad, path)
			if under && (rest == "" || rest[0] == '.' || rest[0] == '[') {
				return false
			}
		}
	}
	return true
}

// errorf refuses the value at key, "" for the whole mapping.
func (s scope) errorf(key, format string, args ...any) { s.say(Error, key, format, args...) }

// warnf warns about the value at key, "" for the whole mapping.
func (s scope) warnf(key, format string, args ...any) { s.say(Warning, key, format, args...) }

func (s scope) say(sev Severity, key, format string, args ...any) {
	path := s.path
	if key != "" {
		path = join(s.path, key)
	}
	if sev == Error {
		s.d.bad[path] = true
	}
	s.d.diags = append(s.d.diags, s.d.diagnostic(path, sev, format, args...))
}

// line is where the value at key stands.
func (s scope) line(key string) int { return s.d.at[join(s.path, key)].line }
