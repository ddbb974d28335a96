package configs

import (
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/internal/must"
)

// kind is a type of scalar: how documents write it, and how it is read.
type kind struct {
	name string // "a duration such as 60s, 24h or 30d"
	// tag is the YAML type the scalar must have; "" takes any.
	tag string
	// parse reads the text of a scalar. The value is assignable or
	// convertible to the field. dir is the folder that files are relative
	// to. Errors say what is wrong and what is allowed.
	parse func(text, dir string) (any, error)
	// format is the inverse of parse.
	format func(v reflect.Value) string
	// schema is the kind in JSON Schema, without bounds.
	schema map[string]any
}

const (
	tagString = "!!str"
	tagInt    = "!!int"
	tagBool   = "!!bool"
)

// kindOf returns the kind of a field that is written as a scalar, nil
// for the others.
func kindOf(f *field) *kind {
	switch f.typ {
	case reflect.TypeFor[time.Duration]():
		return durationKind
	case reflect.TypeFor[TTL]():
		return ttlKind
	case reflect.TypeFor[netip.AddrPort]():
		return addrPortKind
	case reflect.TypeFor[netip.Addr]():
		return addrKind(f.format)
	case reflect.TypeFor[netip.Prefix]():
		return prefixKind
	case reflect.TypeFor[*url.URL]():
		return urlKind(f.schemes)
	case reflect.TypeFor[*uint32](): // nil is absent, where 0 means something
		return intKind
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		return boolKind
	case reflect.String:
		if len(f.enum) > 0 {
			return enumKind(f)
		}
		return formatKind(f.format)
	case reflect.Int, reflect.Int64, reflect.Uint8, reflect.Uint32:
		switch {
		case len(f.enum) > 0:
			return enumKind(f)
		case strings.HasPrefix(f.unit, "bytes"):
			return sizeKind
		}
		return intKind
	}
	return nil
}

var (
	durationKind = &kind{
		name: "a duration such as 60s, 24h or 30d",
		parse: func(text, _ string) (any, error) {
			d, err := ParseDuration(text)
			return d, err
		},
		format: func(v reflect.Value) string { return FormatDuration(time.Duration(v.Int())) },
		schema: map[string]any{"type": "string", "pattern": `^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?([0-9]+us)?([0-9]+ns)?$`, "minLength": 2},
	}
	sizeKind = &kind{
		name: "a size such as 256MiB or 10GiB",
		parse: func(text, _ string) (any, error) {
			n, err := ParseSize(text)
			return n, err
		},
		format: func(v reflect.Value) string { return FormatSize(v.Int()) },
		schema: map[string]any{"type": "string", "pattern": `^[0-9]+([KMGT]i?)?B$`},
	}
	ttlKind = &kind{
		name: "origin, or a duration such as 60s, 24h or 30d",
		parse: func(text, _ string) (any, error) {
			if text == "origin" {
				return TTL{}, nil
			}
			d, err := ParseDuration(text)
			if err != nil {
				return nil, fmt.Errorf("%w; or write origin to take the origin's", err)
			}
			if d < time.Second {
				return nil, fmt.Errorf("%s is too short; expected at least 1s, or origin to take the origin's", quoted(text))
			}
			return TTL{Fixed: true, Duration: d}, nil
		},
		format: func(v reflect.Value) string {
			if t := v.Interface().(TTL); t.Fixed {
				return FormatDuration(t.Duration)
			}
			return "origin"
		},
		schema: map[string]any{"anyOf": []any{map[string]any{"const": "origin"}, durationKind.schema}},
	}
	boolKind = &kind{
		name: "true or false",
		tag:  tagBool,
		parse: func(text, _ string) (any, error) {
			if text != "true" && text != "false" {
				return nil, fmt.Errorf("%s is neither true nor false", quoted(text))
			}
			return text == "true", nil
		},
		format: func(v reflect.Value) string { return strconv.FormatBool(v.Bool()) },
		schema: map[string]any{"type": "boolean"},
	}
	intKind = &kind{
		name: "a whole number",
		tag:  tagInt,
		parse: func(text, _ string) (any, error) {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || strconv.FormatInt(n, 10) != text {
				return nil, fmt.Errorf("%s is not a plain decimal number", quoted(text))
			}
			return n, nil
		},
		format: formatInt,
		schema: map[string]any{"type": "integer"},
	}
	addrPortKind = &kind{
		name:   "an address with a port such as 127.0.0.1:8443 or [::1]:8443",
		tag:    tagString,
		parse:  func(text, _ string) (any, error) { return parseAddrPort(text) },
		format: formatStringer,
		schema: map[string]any{"type": "string", "pattern": `:[0-9]+$`},
	}
	prefixKind = &kind{
		name:   "a prefix such as 10.0.0.0/8 or 2001:db8::/32",
		tag:    tagString,
		parse:  func(text, _ string) (any, error) { return parsePrefix(text) },
		format: formatStringer,
		schema: map[string]any{"type": "string", "pattern": `/[0-9]+$`},
	}
)

// addrKind reads addresses; format "ipv4" allows no other.
func addrKind(format string) *kind {
	k := &kind{
		name:   "an address such as 10.0.0.1 or 2001:db8::1",
		tag:    tagString,
		parse:  func(text, _ string) (any, error) { return parseAddr(text, format == "ipv4") },
		format: formatStringer,
		schema: map[string]any{"type": "string"},
	}
	if format == "ipv4" {
		k.name = "an IPv4 address such as 10.0.0.1"
		k.schema = map[string]any{"type": "string", "format": "ipv4"}
	}
	return k
}

func urlKind(schemes []string) *kind {
	return &kind{
		name:   "a URL such as " + schemes[0] + "://host",
		tag:    tagString,
		parse:  func(text, _ string) (any, error) { return parseURL(text, schemes) },
		format: formatStringer,
		schema: map[string]any{"type": "string", "pattern": "^(?:" + strings.Join(schemes, "|") + ")://"},
	}
}

// formatKind reads strings in one of the formats.
func formatKind(name string) *kind {
	f, ok := formats[name]
	must.True(ok, "no format %q", name)
	k := &kind{
		name:   f.name,
		tag:    tagString,
		parse:  func(text, dir string) (any, error) { return f.parse(text, dir) },
		format: reflect.Value.String,
		schema: map[string]any{"type": "string", "minLength": 1},
	}
	if f.pattern != nil {
		k.schema["pattern"] = f.pattern.String()
	}
	return k
}

// enumKind reads one of some words, or of some numbers: the YAML type
// does not matter, so that min_version: 1.2 needs no quotes.
func enumKind(f *field) *kind {
	values := make([]any, len(f.enum))
	for i, word := range f.enum {
		values[i] = word
	}
	isInt := f.typ.Kind() == reflect.Int
	k := &kind{
		name:   oneOf(f.enum),
		format: reflect.Value.String,
		schema: map[string]any{"enum": values},
		parse: func(text, _ string) (any, error) {
			if !slices.Contains(f.enum, text) {
				return nil, fmt.Errorf("%s is not allowed; expected %s%s", quoted(text), oneOf(f.enum), suggestion(text, f.enum))
			}
			if isInt {
				return strconv.Atoi(text)
			}
			return text, nil
		},
	}
	for i, word := range f.enum {
		if n, err := strconv.Atoi(word); err == nil && isInt {
			values[i] = n
		} else if x, err := strconv.ParseFloat(word, 64); err == nil {
			// Without quotes the word is a number to a schema.
			values = append(values, x)
		}
	}
	k.schema["enum"] = values
	if isInt {
		k.format = formatInt
	}
	return k
}

func formatInt(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.CanUint() {
		return strconv.FormatUint(v.Uint(), 10)
	}
	return strconv.FormatInt(v.Int(), 10)
}

func formatStringer(v reflect.Value) string { return v.Interface().(fmt.Stringer).String() }

// oneOf lists words for a message.
func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// assign stores what a kind has read.
func assign(v reflect.Value, x any) {
	if v.Type() == reflect.TypeFor[*uint32]() {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	v.Set(reflect.ValueOf(x).Convert(v.Type()))
}

// labelPattern is what names of ours look like: they become labels of
// metrics and parts of paths.
var labelPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
