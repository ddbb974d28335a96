package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxDocument is the largest file that is read, in bytes.
const MaxDocument = 1 << 20

// position is a place in a document.
type position struct{ line, column int }

// source is where a document came from.
type source struct {
	file string
	at   map[string]position // of each value that the document has
}

// File returns the name of the file that the document was read from.
func (s *source) File() string { return s.file }

// Where returns "file:line" of the value at path, such as
// "origins[0].url", or just the file when the document does not have it.
func (s *source) Where(path string) string { return place(s.file, s.at[path].line) }

// diagnostic makes a finding about the value at path, or about the
// nearest mapping around it that the document has.
func (s *source) diagnostic(path string, sev Severity, format string, args ...any) Diagnostic {
	pos, ok := s.at[path]
	for p := path; !ok && p != ""; {
		p = p[:max(0, strings.LastIndexAny(p, ".["))]
		pos, ok = s.at[p]
	}
	return Diagnostic{
		File: s.file, Line: pos.line, Column: pos.column, Path: path,
		Severity: sev, Message: fmt.Sprintf(format, args...),
	}
}

// ReadDocument reads a regular file of at most MaxDocument bytes. The error
// does not repeat the path.
func ReadDocument(path string) ([]byte, error) { return readFile(path, MaxDocument) }

// readFile reads a regular file. A pipe or a device would make the
// reader wait for ever.
func readFile(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, bare(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, bare(err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("is larger than %s, the most that is read", FormatSize(most))
	}
	return data, nil
}

// bare takes the path out of a file's error, for where it was said
// already.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return fmt.Errorf("cannot be read: %w", pe.Err)
	}
	return err
}

// parseYAML returns the root of the one document in data, or why there
// is none.
func parseYAML(file string, data []byte) (*yaml.Node, *Diagnostic) {
	fail := func(line int, format string, args ...any) (*yaml.Node, *Diagnostic) {
		return nil, &Diagnostic{File: file, Line: line, Message: fmt.Sprintf(format, args...)}
	}
	if len(data) > MaxDocument {
		return fail(0, "is larger than %s, the most that is read", FormatSize(MaxDocument))
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return fail(1+bytes.Count(data[:i], []byte("\n")), "has a zero byte: it is not text, or was not written to its end")
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	doc, err := decodeNode(dec)
	switch {
	case errors.Is(err, io.EOF):
		return fail(0, "is empty; a document needs at least its required keys")
	case err != nil:
		line, message := explainYAML(data, err)
		return fail(line, "%s", message)
	}
	second, err := decodeNode(dec)
	switch {
	case err == nil:
		return fail(second.Line, "a second document begins here; a file holds exactly one")
	case !errors.Is(err, io.EOF):
		line, message := explainYAML(data, err)
		return fail(line, "%s", message)
	}
	root := doc.Content[0]
	if root.ShortTag() == "!!null" && root.Kind == yaml.ScalarNode {
		return fail(0, "is empty; a document needs at least its required keys")
	}
	return root, nil
}

// decodeNode reads the next document. The loader of a running node must
// survive whatever a file holds, so that a panic in the YAML library is
// an error about the file.
func decodeNode(dec *yaml.Decoder) (n *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: cannot be parsed: %v", r)
		}
	}()
	n = new(yaml.Node)
	if err := dec.Decode(n); err != nil {
		return nil, err
	}
	if len(n.Content) == 0 {
		return nil, io.EOF
	}
	return n, nil
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// explainYAML turns an error of the YAML library into a line and a
// sentence. Without a line the library means the first.
func explainYAML(data []byte, err error) (line int, message string) {
	line, message = splitYAMLError(err)
	line = failingLine(data, line, message)
	if tabIndented(data, line) {
		return line, "a tab is used for indentation; YAML takes spaces only"
	}
	return line, "is not valid YAML: " + message
}

func splitYAMLError(err error) (line int, message string) {
	line, message = 1, strings.ReplaceAll(err.Error(), "\n", " ")
	if m := yamlError.FindStringSubmatch(message); m != nil {
		message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
	}
	return line, message
}

// failingLine returns the line at which parsing begins to fail with this
// message. The library often names the line where the construct began
// that the mistake is in.
func failingLine(data []byte, line int, message string) int {
	const (
		linesMost = 64       // how far the mistake may be away
		bytesMost = 64 << 10 // of a document that is worth parsing again
	)
	if len(data) > bytesMost {
		return line
	}
	n, end := 0, 0
	for l := range bytes.Lines(data) {
		n, end = n+1, end+len(l)
		if n < line {
			continue
		}
		if n > line+linesMost {
			break
		}
		if _, err := decodeNode(yaml.NewDecoder(bytes.NewReader(data[:end]))); err != nil {
			if _, m := splitYAMLError(err); m == message {
				return n
			}
		}
	}
	return line
}

// tabIndented reports whether a tab stands before the text of a line.
func tabIndented(data []byte, line int) bool {
	n := 0
	for l := range bytes.Lines(data) {
		if n++; n == line {
			indent := l[:len(l)-len(bytes.TrimLeft(l, " \t"))]
			return bytes.IndexByte(indent, '\t') >= 0
		}
	}
	return false
}

// siteName is the name of a site whose document gives none.
func siteName(file string) string {
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}
