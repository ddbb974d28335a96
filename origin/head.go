package origin

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/ascii"
)

// framing says where the content after a head ends (RFC 9112, 6.3).
type framing uint8

const (
	noContent   framing = iota // there is none
	byLength                   // after Content-Length bytes
	byChunks                   // after the last chunk and its trailer
	byClose                    // when the connection ends
	asOtherwise                // never: the connection speaks another protocol from here on
)

// head is the head of one HTTP/1 response.
type head struct {
	status  int
	framing framing
	// length is Content-Length, -1 when there is none.
	length int64
	// persist is whether another response may follow on the connection.
	persist bool
	// fields are all field lines in their order, hop-by-hop ones included.
	fields exchange.Header
}

var errHeadSyntax = errors.New("malformed response head")

// headEnd returns the length of the head that b begins with, its empty
// line included; 0 when the end is still to come. The first done bytes
// are known to hold no end.
func headEnd(b []byte, done int) int {
	for i := max(0, done-3); i < len(b); i++ {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return 0
		}
		i += j
		rest := b[i+1:]
		switch {
		case len(rest) >= 1 && rest[0] == '\n':
			return i + 2
		case len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n':
			return i + 3
		}
	}
	return 0
}

// plausible reports whether b may be the beginning of a response, so that
// what speaks something else is refused without waiting for its end.
func plausible(b []byte) bool {
	const start = "HTTP/1."
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

// parseHead reads a head, empty line included. It lowers the case of
// field names within b and keeps nothing of b. toHEAD says that the
// request was a HEAD.
func parseHead(b []byte, toHEAD bool) (*head, error) {
	line, rest := cutLine(b)
	h := &head{length: -1}
	minor, err := h.parseStatus(line)
	if err != nil {
		return nil, err
	}
	if err := h.parseFields(rest); err != nil {
		return nil, err
	}
	if err := h.frame(minor, toHEAD); err != nil {
		return nil, err
	}
	return h, nil
}

// cutLine splits off the first line without its end. A line may end with
// LF alone (RFC 9112, 2.2).
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest
}

// parseStatus reads "HTTP/1.1 200 OK". The reason phrase means nothing
// (RFC 9112, 4) and is dropped.
func (h *head) parseStatus(line []byte) (minor byte, err error) {
	const form = "HTTP/1.x nnn"
	if !plausible(line) || len(line) < len(form) || line[8] != ' ' || len(line) > len(form) && line[len(form)] != ' ' {
		return 0, fmt.Errorf("%w: status line %.40q", errHeadSyntax, line)
	}
	minor = line[7] - '0'
	h.status, err = strconv.Atoi(string(line[9:12]))
	if minor > 9 || err != nil || h.status < 100 {
		return 0, fmt.Errorf("%w: status line %.40q", errHeadSyntax, line)
	}
	return minor, nil
}

func (h *head) parseFields(b []byte) error {
	lowerNames(b)
	// One string for all fields: they live and die together.
	for text := string(b); text != ""; {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		line = strings.TrimSuffix(line, "\r")
		if line == "" {
			return nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			if err := h.unfold(line); err != nil {
				return err
			}
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		// White space before the colon must be removed from a response
		// (RFC 9112, 5.1).
		name = strings.TrimRight(name, " \t")
		value = strings.Trim(value, " \t")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return fmt.Errorf("%w: field line %.40q", errHeadSyntax, line)
		}
		h.fields.Add(name, value)
	}
	return nil
}

// unfold joins a continuation to the line before it with one space, as a
// proxy must (RFC 9112, 5.2).
func (h *head) unfold(line string) error {
	value := strings.Trim(line, " \t")
	if len(h.fields) == 0 || !httpguts.ValidHeaderFieldValue(value) {
		return fmt.Errorf("%w: continuation line %.40q", errHeadSyntax, line)
	}
	last := &h.fields[len(h.fields)-1]
	last.Value = strings.Trim(last.Value+" "+value, " \t")
	return nil
}

// lowerNames lowers the case of everything from the start of a line to its
// colon; a line that begins with white space goes on with the value before.
func lowerNames(b []byte) {
	name := true
	for i, c := range b {
		switch {
		case c == '\n':
			name = i+1 < len(b) && b[i+1] != ' ' && b[i+1] != '\t'
		case c == ':':
			name = false
		case name && 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		}
	}
}

// frame decides where the content ends. Whatever two readers could take
// differently is refused: both framing fields at once, a transfer coding
// that is not exactly chunked, one in HTTP/1.0, lengths that disagree
// (RFC 9112, 6.1 and 6.3).
func (h *head) frame(minor byte, toHEAD bool) error {
	codings, lengths := h.fields.Values("transfer-encoding"), h.fields.Values("content-length")
	if err := h.parseLength(lengths); err != nil {
		return err
	}
	if len(codings) > 0 {
		switch {
		case len(lengths) > 0:
			return fmt.Errorf("%w: both Transfer-Encoding and Content-Length", errHeadSyntax)
		case minor == 0:
			return fmt.Errorf("%w: Transfer-Encoding in HTTP/1.0", errHeadSyntax)
		case len(codings) > 1 || !ascii.EqualFold(codings[0], "chunked"):
			return fmt.Errorf("%w: Transfer-Encoding %.40q is not supported", errHeadSyntax, codings)
		}
	}
	switch {
	case h.status == 101:
		h.framing = asOtherwise
	case toHEAD || h.status < 200 || h.status == 204 || h.status == 304:
		h.framing = noContent
	case len(codings) > 0:
		h.framing = byChunks
	case len(lengths) > 0:
		h.framing = byLength
	default:
		h.framing = byClose
	}
	h.persist = h.framing != byClose && h.keepsAlive(minor)
	return nil
}

func (h *head) parseLength(values []string) error {
	for i, v := range values {
		n, err := strconv.ParseUint(v, 10, 63)
		if err != nil || v[0] == '+' || i > 0 && v != values[0] {
			return fmt.Errorf("%w: Content-Length %.40q", errHeadSyntax, values)
		}
		h.length = int64(n)
	}
	return nil
}

// keepsAlive follows RFC 9112, 9.3.
func (h *head) keepsAlive(minor byte) bool {
	keep := minor > 0
	for option := range h.fields.Members("connection") {
		switch {
		case ascii.EqualFold(option, "close"):
			return false
		case ascii.EqualFold(option, "keep-alive"):
			keep = true
		}
	}
	return keep
}

// appendPlain appends the head that net/http is to see: what it needs to
// find the end of the content and to decide whether the connection lives
// on, and nothing else.
func (h *head) appendPlain(b []byte) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(h.status), 10)
	b = append(b, " \r\n"...)
	switch {
	case h.framing == byChunks:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case h.framing == asOtherwise:
		b = append(b, "Connection: upgrade\r\nUpgrade: "...)
		b = append(b, h.fields.Get("upgrade")...)
		b = append(b, "\r\n"...)
	case h.length >= 0 && h.status >= 200 && h.status != 204 && h.status != 304:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, h.length, 10)
		b = append(b, "\r\n"...)
	}
	if !h.persist && h.framing != asOtherwise && h.status >= 200 {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(b, "\r\n"...)
}
