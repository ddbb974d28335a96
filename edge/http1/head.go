package http1

import (
	"bytes"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/message"
	"github.com/landfall-cdn/landfall/internal/ascii"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// head is what a request's head says beside what exchange.Request holds.
type head struct {
	length  int64 // of Content-Length
	chunked bool
	expects bool // 100-continue
	close   bool // no other request follows

	target, host, upgrade    string // as sent
	hosts, lengths, upgrades int    // how many lines
	upgrading                bool   // an option of Connection
}

// content reports whether a body follows.
func (h *head) content() bool { return h.chunked || h.length > 0 }

// parse reads the bytes of one head into r, whose Header it fills from its
// beginning. Names are made lower case in place; all strings are borrowed
// from b. When it refuses, r holds what was read until then.
func (h *head) parse(b []byte, r *exchange.Request, lim *limits.Limits) exchange.Refusal {
	*h = head{}
	r.Proto, r.Header = exchange.HTTP11, r.Header[:0]
	rest, why := h.line(b, r)
	if why != exchange.Admitted {
		return why
	}
	if why := h.fields(rest, r, lim.RequestFields); why != exchange.Admitted {
		_ = h.aim(r) // as far as it goes, for the record
		return why
	}
	if why := h.framing(r); why != exchange.Admitted {
		return why
	}
	if why := h.aim(r); why != exchange.Admitted {
		return why
	}
	if len(r.Path)+len(r.Query) > lim.RequestURI {
		return exchange.URITooLong
	}
	h.connection(r)
	return exchange.Admitted
}

// line reads the request line (RFC 9112, 3), with single spaces only, and
// returns what follows it.
func (h *head) line(b []byte, r *exchange.Request) (rest []byte, why exchange.Refusal) {
	n := 0
	for n < len(b) && message.TokenByte(b[n]) {
		n++
	}
	if n == 0 || n == len(b) || b[n] != ' ' {
		return nil, exchange.BadRequest
	}
	r.Method = exchange.Borrowed(b[:n])
	b = b[n+1:]
	for n = 0; n < len(b) && targetBytes[b[n]]; n++ {
	}
	switch {
	case n == 0 || n == len(b) || b[n] == '\r' || b[n] == '\t':
		return nil, exchange.BadRequest
	case b[n] != ' ':
		return nil, exchange.BadTarget
	}
	h.target = exchange.Borrowed(b[:n])
	b = b[n+1:]
	if n = bytes.IndexByte(b, '\n'); n < 1 || b[n-1] != '\r' {
		return nil, exchange.BadRequest
	}
	switch version := exchange.Borrowed(b[:n-1]); {
	case version == "HTTP/1.1":
	case version == "HTTP/1.0":
		r.Proto = exchange.HTTP10
	case len(version) == 8 && version[:5] == "HTTP/" && digit(version[5]) && version[6] == '.' && digit(version[7]):
		return nil, exchange.BadVersion
	default:
		return nil, exchange.BadRequest
	}
	return b[n+1:], exchange.Admitted
}

// targetBytes are those of a request target. Controls, space, fragments,
// backslashes and what is not ASCII stand in none (RFC 9112, 3.2), and a
// server behind us might cut, split or decode them.
var targetBytes = func() (t [256]bool) {
	for c := '!'; c <= '~'; c++ {
		t[c] = c != '#' && c != '\\'
	}
	return t
}()

func digit(c byte) bool { return '0' <= c && c <= '9' }

// fields reads the field lines up to the empty one (RFC 9112, 5).
func (h *head) fields(b []byte, r *exchange.Request, limit int) exchange.Refusal {
	for {
		n := bytes.IndexByte(b, '\n')
		if n < 1 || b[n-1] != '\r' {
			return exchange.BadRequest
		}
		line := b[:n-1]
		if len(line) == 0 {
			return exchange.Admitted
		}
		b = b[n+1:]
		name, value, ok := field(line)
		if !ok {
			return exchange.BadField
		}
		if keep, why := h.note(name, value, r.Proto); why != exchange.Admitted {
			return why
		} else if !keep {
			continue
		}
		if len(r.Header) == limit {
			return exchange.TooManyFields
		}
		r.Header = append(r.Header, exchange.Field{Name: name, Value: value})
	}
}

// field reads a field line. There is no space before the colon, and no line
// that goes on another (RFC 9112, 5.1 and 5.2).
func field(line []byte) (name, value string, ok bool) {
	colon := 0
	for ; colon < len(line); colon++ {
		c := lower[line[colon]]
		if c == 0 {
			break
		}
		line[colon] = c
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return "", "", false
	}
	from, to := colon+1, len(line)
	for from < to && (line[from] == ' ' || line[from] == '\t') {
		from++
	}
	for from < to && (line[to-1] == ' ' || line[to-1] == '\t') {
		to--
	}
	name, value = exchange.Borrowed(line[:colon]), exchange.Borrowed(line[from:to])
	return name, value, message.FieldValue(value)
}

// lower is the lower case of a token's bytes, and 0 for all others.
var lower = func() (t [256]byte) {
	for c := range t {
		if message.TokenByte(byte(c)) {
			t[c] = byte(c)
		}
		if 'A' <= c && c <= 'Z' {
			t[c] += 'a' - 'A'
		}
	}
	return t
}()

// note takes what a field line says about the message itself. keep says
// that the line is the request's, too.
func (h *head) note(name, value string, proto exchange.Proto) (keep bool, why exchange.Refusal) {
	switch name {
	case "host":
		if h.hosts++; h.hosts > 1 {
			return false, exchange.BadHost
		}
		h.host = value
		return false, exchange.Admitted
	case "content-length":
		n, ok := message.Length(value)
		if h.lengths++; h.lengths > 1 || !ok {
			return false, exchange.BadFraming
		}
		h.length = n
		return false, exchange.Admitted
	case "transfer-encoding":
		// No other coding is spoken, and an HTTP/1.0 server in between would
		// not see it (RFC 9112, 6.1).
		if h.chunked || proto == exchange.HTTP10 || !ascii.EqualFold(value, "chunked") {
			return false, exchange.BadFraming
		}
		h.chunked = true
		return false, exchange.Admitted
	case "connection":
		h.options(value)
	case "upgrade":
		h.upgrades++
		h.upgrade = value
	case "expect":
		if !ascii.EqualFold(value, "100-continue") {
			return false, exchange.BadExpect
		}
		// RFC 9110, 10.1.1: HTTP/1.0 does not know it.
		h.expects = proto == exchange.HTTP11
		return h.expects, exchange.Admitted
	}
	return true, exchange.Admitted
}

// options notes the options of a Connection field.
func (h *head) options(list string) {
	for more := true; more; {
		var option string
		option, list, more = strings.Cut(list, ",")
		switch option = strings.Trim(option, " \t"); {
		case ascii.EqualFold(option, "close"):
			h.close = true
		case ascii.EqualFold(option, "upgrade"):
			h.upgrading = true
		}
	}
}

// framing says where the content ends (RFC 9112, 6.3).
func (h *head) framing(r *exchange.Request) exchange.Refusal {
	r.Length = h.length
	if h.chunked {
		if h.lengths > 0 {
			return exchange.BadFraming
		}
		r.Length = -1
	}
	h.expects = h.expects && h.content()
	return exchange.Admitted
}

// connection says what becomes of the connection. An HTTP/1.0 client gets
// one answer on it: no proxy in between can then be misled about its end.
// WebSocket is the one protocol to switch to, with GET and without content;
// any other is not heeded (RFC 9110, 7.8).
func (h *head) connection(r *exchange.Request) {
	h.close = h.close || r.Proto == exchange.HTTP10
	if h.upgrading && h.upgrades == 1 && r.Proto == exchange.HTTP11 && r.Method == "GET" && !h.content() &&
		ascii.EqualFold(h.upgrade, "websocket") {
		r.Upgrade = "websocket"
	}
}
