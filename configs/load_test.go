package configs

import (
	"bytes"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestLoadSites(t *testing.T) {
	dir := t.TempDir()
	const good = "hostnames: [%.example]\norigins: ['https://o.example']\n"
	for name, content := range map[string]string{
		"b.yml":        strings.Replace(good, "%", "b", 1),
		"a.yaml":       strings.Replace(good, "%", "a", 1),
		"c.yaml":       "hostnames: [c.example]\n",
		".hidden.yaml": "broken: [",
		"a.yaml~":      "broken: [",
		"README.md":    "broken: [",
		"Bad Name.yml": strings.Replace(good, "%", "d", 1),
	} {
		write(t, dir, name, content)
	}
	sites, diags := LoadSites(dir, Options{})
	var names []string
	for _, s := range sites {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "a b" {
		t.Errorf("sites %q, want a b", got)
	}
	expect(t, diags,
		dir+"/Bad Name.yml:1: name: missing, and the file's name \"Bad Name\" is none",
		dir+"/c.yaml:1: origins: missing")
	_, diags = LoadSites(filepath.Join(dir, "none"), Options{})
	expect(t, diags, dir+"/none: the folder of site documents cannot be read: no such file or directory")
}

func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "large.yaml", strings.Repeat("#\n", MaxDocument/2+1))
	for name, want := range map[string]string{
		"none.yaml":  "cannot be read: no such file or directory",
		"pipe.yaml":  "is not a regular file",
		"large.yaml": "is larger than 1MiB, the most that is read",
	} {
		_, diags := LoadNode(filepath.Join(dir, name))
		expect(t, diags, filepath.Join(dir, name)+": "+want)
		_, diags = LoadSite(filepath.Join(dir, name), Options{})
		expect(t, diags, filepath.Join(dir, name)+": "+want)
	}
	_, diags := ParseSite("huge.yaml", make([]byte, MaxDocument+1), Options{})
	if !diags.HasErrors() {
		t.Error("a document over the bound was parsed")
	}
}

// TestHostileDocuments are refused, and soon.
func TestHostileDocuments(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		prev := string(c - 1)
		laughs += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+prev+",", 9), ",") + "]\n"
	}
	for name, document := range map[string]string{
		"billion laughs": laughs + "hostnames: *j\norigins: *j\n",
		"deep list":      "hostnames: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "\n",
		"deeper list":    "hostnames: " + strings.Repeat("[", 100000) + "\n",
		"deep mapping":   strings.Repeat("{a: ", 9000) + "\n",
		"many keys":      strings.Repeat("? [a]\n", 1000),
		"not UTF-8":      "hostnames: [\xff\xfe]\n",
		"escape":         "hostnames: [\"\\x1b[31m\"]\norigins: [\"https://\\x1b\"]\n\"\\x1b\": 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, diags := ParseSite("x.yaml", []byte(document), Options{})
			if s != nil || !diags.HasErrors() {
				t.Fatal("accepted")
			}
			if strings.ContainsAny(diags.String(), "\x00\x1b\r") {
				t.Errorf("control bytes in %q", diags)
			}
		})
	}
}

func TestDiagnosticsErr(t *testing.T) {
	warning := Diagnostic{File: "a.yaml", Line: 2, Path: "p", Severity: Warning, Message: "m"}
	if err := (Diagnostics{warning}).Err(); err != nil {
		t.Errorf("a warning is an error: %v", err)
	}
	failure := Diagnostic{File: "a.yaml", Message: "m"}
	if err := (Diagnostics{warning, failure}).Err(); err == nil || err.Error() != "a.yaml: m" {
		t.Errorf("Err = %v", err)
	}
	if got := warning.String(); got != "a.yaml:2: p: warning: m" {
		t.Errorf("String = %q", got)
	}
}

// TestReadBack reads what `landfall check` prints.
func TestReadBack(t *testing.T) {
	n, diags := LoadNode("examples/node.yaml")
	if n == nil {
		t.Fatal(diags)
	}
	first, err := n.EncodeYAML()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"  name: fra-1\n", "  timeout: 30s\n", "  request_head: 32KiB\n", "forwarded: false\n"} {
		if !bytes.Contains(first, []byte(line)) {
			t.Errorf("no line %q in\n%s", line, first)
		}
	}
	checkReadBackNode(t, n)
	for _, file := range []string{"examples/shop.yaml", "examples/minimal-site.yaml"} {
		checkReadBackSite(t, loadSite(t, file))
	}
}
