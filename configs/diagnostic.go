package configs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a diagnostic means for the document it is about.
type Severity uint8

// The severities.
const (
	// Error: the document is refused.
	Error Severity = iota
	// Warning: the document is accepted, and does not do all that it says.
	Warning
)

// String returns the word.
func (s Severity) String() string { return [...]string{"error", "warning"}[s] }

// Diagnostic is one finding about one document: where, what is wrong,
// and what would be right.
type Diagnostic struct {
	File     string
	Line     int    // from 1; 0 is the file as a whole
	Column   int    // from 1; 0 is not known
	Path     string // "origins[0].url"; "" is the document as a whole
	Severity Severity
	Message  string
}

// String returns the finding on one line, as compilers print theirs.
// A warning says that it is one.
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(place(d.File, d.Line))
	b.WriteString(": ")
	if d.Path != "" {
		b.WriteString(d.Path + ": ")
	}
	if d.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(d.Message)
	return b.String()
}

// place names a line of a file.
func place(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// Diagnostics are findings in the order of files and lines.
type Diagnostics []Diagnostic

// HasErrors reports whether a document was refused.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

// Err returns the errors, one a line, without the warnings; nil when
// there are none.
func (ds Diagnostics) Err() error {
	var errs []error
	for _, d := range ds {
		if d.Severity == Error {
			errs = append(errs, errors.New(d.String()))
		}
	}
	return errors.Join(errs...)
}

// String returns all findings, one a line.
func (ds Diagnostics) String() string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.String() + "\n")
	}
	return b.String()
}

// sort brings the findings of each file into the order of its lines.
func (ds Diagnostics) sort() {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
