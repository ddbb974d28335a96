package configs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Options are the judgements that belong to other packages.
type Options struct {
	// CompileRule compiles a rule's condition and returns what is wrong
	// with it. Nil leaves conditions unchecked.
	CompileRule func(expr string) error
}

// LoadNode reads the node file at path. The node is nil when a
// diagnostic is an error. Files that it names are not opened; see
// CheckSet.
func LoadNode(path string) (*Node, Diagnostics) {
	data, err := ReadDocument(path)
	if err != nil {
		return nil, Diagnostics{{File: path, Message: err.Error()}}
	}
	return ParseNode(path, data)
}

// ParseNode reads a node file's content. file is its name, in whose
// folder relative paths begin.
func ParseNode(file string, data []byte) (*Node, Diagnostics) {
	var n Node
	src, diags := decode(file, data, &n, Options{})
	if diags.HasErrors() {
		return nil, diags
	}
	n.source = src
	return &n, diags
}

// LoadSite reads the site document at path. The site is nil when a
// diagnostic is an error. Files that it names are not opened; see
// CheckSet.
func LoadSite(path string, opt Options) (*Site, Diagnostics) {
	data, err := ReadDocument(path)
	if err != nil {
		return nil, Diagnostics{{File: path, Message: err.Error()}}
	}
	return ParseSite(path, data, opt)
}

// ParseSite reads a site document's content. file is its name, in whose
// folder relative paths begin, and which names the site when the
// document does not.
func ParseSite(file string, data []byte, opt Options) (*Site, Diagnostics) {
	var s Site
	src, diags := decode(file, data, &s, opt)
	if diags.HasErrors() {
		return nil, diags
	}
	s.source = src
	return &s, diags
}

// LoadSites reads every site document of a folder, *.yaml and *.yml
// without a leading dot, in the order of their names. Sites that loaded
// are returned even when others did not: the File of an error names the
// document that is missing.
func LoadSites(dir string, opt Options) ([]*Site, Diagnostics) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, Diagnostics{{File: dir, Message: "the folder of site documents " + bare(err).Error()}}
	}
	var sites []*Site
	var diags Diagnostics
	for _, e := range entries {
		if !IsSiteFile(e.Name()) || e.IsDir() {
			continue
		}
		site, ds := LoadSite(filepath.Join(dir, e.Name()), opt)
		diags = append(diags, ds...)
		if site != nil {
			sites = append(sites, site)
		}
	}
	return sites, diags
}

// IsSiteFile reports whether a file of the sites' folder is a site
// document, by its base name.
func IsSiteFile(base string) bool {
	return !strings.HasPrefix(base, ".") && slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(base))
}
