package configs

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// format is what a string may hold.
type format struct {
	name  string // "a host name such as shop.example.com"
	parse func(text, dir string) (string, error)
	// pattern is what JSON Schema checks; nil is anything but "".
	pattern *regexp.Regexp
}

// formats are the values of the tag "format". No format takes the empty
// string, so that "" in a Go value always means absent.
var formats = map[string]format{
	"name": matching("a name of lower-case letters, digits, dots, hyphens and underscores", labelPattern),
	"hostname": {
		name:  "a host such as shop.example.com",
		parse: func(text, _ string) (string, error) { return parseHostname(text, false) },
	},
	"hostpattern": {
		name:  "a host such as shop.example.com or *.example.com",
		parse: func(text, _ string) (string, error) { return parseHostname(text, true) },
	},
	"authority": {
		name:  "a host, or host:port",
		parse: func(text, _ string) (string, error) { return parseAuthority(text) },
	},
	"hostport": {
		name:    "a host and port such as fra-2.example.com:7946 or 10.0.0.12:7946",
		parse:   func(text, _ string) (string, error) { return parseHostPort(text) },
		pattern: regexp.MustCompile(`:[0-9]+$`),
	},
	"file":   {name: "a path", parse: parsePath},
	"output": {name: "a path, or - for standard output", parse: parseOutput},
	"text":   {name: "a text", parse: func(text, _ string) (string, error) { return parseText(text, "") }},
	"expression": {
		name:  `a CEL expression such as request.path.startsWith("/account")`,
		parse: func(text, _ string) (string, error) { return parseText(text, "\n\t") },
	},
	"email":    {name: "an email address", parse: parseEmail},
	"redirect": {name: "a URL or a path", parse: parseRedirect, pattern: regexp.MustCompile(`^(?:https?://|/)`)},
	"urlpath":  {name: "a path such as /healthz", parse: parseURLPath, pattern: regexp.MustCompile(`^/`)},
	// RFC 9110, 5.6.2; cookie names are tokens too (RFC 6265, 4.1.1).
	"token": matching("a name of letters, digits and !#$%&'*+-.^_`|~",
		regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$")),
	"glob": matching("the name of a parameter, in which * stands for any run of characters",
		regexp.MustCompile(`^[^&=?#\s]{1,256}$`)),
	// RFC 1997 and RFC 8092, as everybody writes them.
	"community": {
		name:    "a community such as 64500:20",
		parse:   func(text, _ string) (string, error) { return parseNumbers(text, 2, 16, "64500:20") },
		pattern: regexp.MustCompile(`^[0-9]{1,5}:[0-9]{1,5}$`),
	},
	"large_community": {
		name:    "a large community such as 64500:1:20",
		parse:   parseLargeCommunity,
		pattern: regexp.MustCompile(`^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$`),
	},
	// The kernel's IFNAMSIZ leaves 15 bytes.
	"interface": matching("the name of a network interface, at most 15 bytes",
		regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,14}$`)),
}

// matching is a format that one pattern describes.
func matching(name string, pattern *regexp.Regexp) format {
	return format{
		name: name,
		parse: func(text, _ string) (string, error) {
			if !pattern.MatchString(text) {
				return "", fmt.Errorf("%s is not allowed; expected %s", quoted(text), name)
			}
			return text, nil
		},
		pattern: pattern,
	}
}

// parseNumbers takes n numbers of some bits with colons between them.
func parseNumbers(text string, n, bits int, example string) (string, error) {
	parts := strings.Split(text, ":")
	ok := len(parts) == n
	for _, part := range parts {
		v, err := strconv.ParseUint(part, 10, bits)
		ok = ok && err == nil && strconv.FormatUint(v, 10) == part
	}
	if !ok {
		return "", fmt.Errorf("%s is not allowed; expected %d numbers up to %d such as %s", quoted(text), n, uint64(1)<<bits-1, example)
	}
	return text, nil
}

func parseLargeCommunity(text, _ string) (string, error) {
	if strings.HasPrefix(text, "4294967295:") {
		return "", fmt.Errorf("%s is of a reserved autonomous system (RFC 7300); expected the one that defines it", quoted(text))
	}
	return parseNumbers(text, 3, 32, "64500:1:20")
}

// parseText takes any line, and of control characters those in allowed.
func parseText(text, allowed string) (string, error) {
	const most = 8 << 10
	switch {
	case strings.TrimSpace(text) == "":
		return "", errors.New("is empty")
	case len(text) > most:
		return "", fmt.Errorf("has %d bytes; at most %d are accepted", len(text), most)
	case strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune(allowed, r)
	}):
		return "", fmt.Errorf("%s has control characters; remove them", quoted(text))
	}
	return text, nil
}

func parsePath(text, dir string) (string, error) {
	if _, err := parseText(text, ""); err != nil {
		return "", err
	}
	if filepath.IsAbs(text) {
		return filepath.Clean(text), nil
	}
	return filepath.Join(dir, text), nil
}

func parseOutput(text, dir string) (string, error) {
	if text == "-" {
		return text, nil
	}
	return parsePath(text, dir)
}

func parseEmail(text, _ string) (string, error) {
	a, err := mail.ParseAddress(text)
	if err != nil || a.Address != text || a.Name != "" {
		return "", fmt.Errorf("%s is not an email address; write one such as ops@example.com", quoted(text))
	}
	return parseText(text, "")
}

func parseURLPath(text, _ string) (string, error) {
	if !strings.HasPrefix(text, "/") || strings.Contains(text, "#") || strings.ContainsFunc(text, notVisible) {
		return "", fmt.Errorf("%s is not a path; write one that begins with / such as /healthz", quoted(text))
	}
	if _, err := url.ParseRequestURI(text); err != nil {
		return "", fmt.Errorf("%s is not a path: a %% must begin an escape such as %%20", quoted(text))
	}
	return text, nil
}

var placeholder = regexp.MustCompile(`\$\{([^}]*)\}?`)

// parseRedirect checks the target with its placeholders filled in. A
// request's path may begin with //, which would make a target that is
// the path alone lead to any host.
func parseRedirect(text, _ string) (string, error) {
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		switch m[0] {
		case "${host}", "${path}", "${query}":
		default:
			return "", fmt.Errorf("%s is not a placeholder; expected ${host}, ${path} or ${query}", quoted(m[0]))
		}
	}
	filled := strings.NewReplacer("${host}", "host.example", "${path}", "//x", "${query}", "").Replace(text)
	u, err := url.Parse(filled)
	switch {
	case err != nil || strings.ContainsFunc(filled, notVisible):
		return "", fmt.Errorf("%s is not a URL", quoted(text))
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil:
		return text, nil
	case u.Scheme == "" && u.Host == "" && strings.HasPrefix(filled, "/") && !strings.HasPrefix(filled, "//"):
		return text, nil
	}
	return "", fmt.Errorf("%s is not allowed; expected an absolute http or https URL without credentials, or a path that begins with one /", quoted(text))
}

// notVisible reports whether r may not stand in a URL as it is.
func notVisible(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }
