package attack

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// field is one field line. The name is in lower case.
type field struct{ name, value string }

// message is a request or response of HTTP/1.1 as a strict reader reads
// it.
type message struct {
	start   string // request line or status line
	fields  []field
	body    []byte
	trailer []field
	raw     []byte // all of it, as it came
	// flaw is the first thing that another reader could read in another
	// way; "" means that all readers read this message alike.
	flaw string
}

// values returns the values of all lines with this name.
func (m *message) values(name string) (out []string) {
	for _, f := range m.fields {
		if f.name == name {
			out = append(out, f.value)
		}
	}
	return out
}

func (m *message) value(name string) string { return strings.Join(m.values(name), ", ") }

// errFlaw ends the reading of a message that cannot be read on.
var errFlaw = errors.New("flaw")

// strict reads messages and keeps what it read. It never repairs.
type strict struct {
	r *bufio.Reader
	m *message
}

// readHead reads start line and fields. The error is io.EOF when nothing
// came, io.ErrUnexpectedEOF when the head ended early, errFlaw when the
// message has a flaw.
func (s *strict) readHead() (*message, error) {
	s.m = &message{}
	line, err := s.line()
	if err != nil {
		if len(s.m.raw) > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return s.m, err
	}
	s.m.start = line
	s.m.fields, err = s.fields()
	return s.m, err
}

// line reads up to a CRLF. A lone CR, a lone LF and other control bytes
// are flaws.
func (s *strict) line() (string, error) {
	line, err := s.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		err = nil
		long := slices.Clone(line)
		for len(long) < 1<<20 && long[len(long)-1] != '\n' && err == nil {
			line, err = s.r.ReadSlice('\n')
			long = append(long, line...)
			if err == bufio.ErrBufferFull {
				err = nil
			}
		}
		line = long
	}
	s.m.raw = append(s.m.raw, line...)
	if err != nil {
		return "", err
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	if !ok {
		return "", s.fail("a line ends without CR: %q", line)
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", s.fail("control byte %#x in line %q", c, text)
		}
	}
	return text, nil
}

func (s *strict) fail(format string, args ...any) error {
	s.m.flaw = fmt.Sprintf(format, args...)
	return errFlaw
}

// fields reads field lines up to the empty line.
func (s *strict) fields() (out []field, err error) {
	for {
		line, err := s.line()
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil || line == "" {
			return out, err
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return out, s.fail("field line %q", line)
		}
		if strings.Contains(name, "_") {
			return out, s.fail("a name with an underscore, which CGI reads as another: %q", line)
		}
		out = append(out, field{strings.ToLower(name), strings.Trim(value, " \t")})
	}
}

func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(c)) {
			return false
		}
	}
	return s != ""
}

// framing returns the length of the content, or chunked. length is -1
// when the message does not say.
func (s *strict) framing() (length int64, chunked bool, err error) {
	lengths, codings := s.m.values("content-length"), s.m.values("transfer-encoding")
	switch {
	case len(lengths) > 0 && len(codings) > 0:
		return 0, false, s.fail("Content-Length %q and Transfer-Encoding %q", lengths, codings)
	case len(codings) > 1 || len(codings) == 1 && codings[0] != "chunked":
		return 0, false, s.fail("Transfer-Encoding %q", codings)
	case len(codings) == 1:
		return -1, true, nil
	case len(lengths) == 0:
		return -1, false, nil
	case len(lengths) > 1:
		return 0, false, s.fail("Content-Length %q", lengths)
	}
	for _, c := range lengths[0] {
		if c < '0' || c > '9' {
			return 0, false, s.fail("Content-Length %q", lengths)
		}
	}
	length, err = strconv.ParseInt(lengths[0], 10, 64)
	if err != nil {
		return 0, false, s.fail("Content-Length %q", lengths)
	}
	return length, false, nil
}

// readBody reads content of a known length, or chunks.
func (s *strict) readBody(length int64, chunked bool) error {
	if chunked {
		return s.chunks()
	}
	return s.take(length)
}

// take reads n bytes of content.
func (s *strict) take(n int64) error {
	var b bytes.Buffer
	_, err := io.CopyN(&b, s.r, n)
	s.m.body = append(s.m.body, b.Bytes()...)
	s.m.raw = append(s.m.raw, b.Bytes()...)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// chunks reads a chunked body. Neither extensions nor leading zeros nor
// trailers that could change the head are put up with.
func (s *strict) chunks() error {
	for {
		line, err := s.line()
		if err != nil {
			return unexpected(err)
		}
		size, err := strconv.ParseUint(line, 16, 31)
		if err != nil || len(line) > 1 && line[0] == '0' {
			return s.fail("chunk size line %q", line)
		}
		if size == 0 {
			break
		}
		if err := s.take(int64(size)); err != nil {
			return err
		}
		if line, err = s.line(); err != nil {
			return unexpected(err)
		}
		if line != "" {
			return s.fail("after a chunk: %q", line)
		}
	}
	trailer, err := s.fields()
	s.m.trailer = trailer
	for _, f := range trailer {
		switch f.name {
		case "content-length", "transfer-encoding", "host", "connection", "authorization", "cookie", "te", "trailer",
			"content-type", "content-encoding", "content-range", "cache-control", "set-cookie", "expect", "upgrade":
			return s.fail("trailer field %v", f)
		}
	}
	return err
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
