package http1

import (
	"math/big"
	"strings"
)

// This file is a second reader of HTTP/1, written byte by byte from RFC 9112
// and sharing no code with the first. Fuzzing compares the two.

// seen is a request as the second reader sees it.
type seen struct {
	method, target, version string
	fields                  [][2]string // names in lower case
	content                 string
	trailer                 [][2]string
	close                   bool
}

// readStream returns the requests at the beginning of a connection, up to
// the first that is not whole or not well formed, or that is the last.
func readStream(s string) (out []seen) {
	for {
		var x seen
		n, ok := x.readHead(s)
		if !ok {
			return out
		}
		s = s[n:]
		length, chunked, ok := x.framing()
		switch {
		case !ok:
			return out
		case chunked:
			if n, ok = x.readChunks(s); !ok {
				return out
			}
		default:
			if n = length; len(s) < n {
				return out
			}
			x.content = s[:n]
		}
		s = s[n:]
		if out = append(out, x); x.close {
			return out
		}
	}
}

func isToken(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// readHead reads a head and returns its length.
func (x *seen) readHead(s string) (n int, ok bool) {
	const (
		atStart = iota
		inMethod
		inTarget
		inVersion
		inVersionLF
		inFields
	)
	state, i := atStart, 0
	if strings.HasPrefix(s, "\r\n") {
		i = 2
	}
	for ; i < len(s) && state != inFields; i++ {
		c := s[i]
		switch state {
		case atStart, inMethod:
			switch {
			case isToken(c):
				x.method += string(c)
				state = inMethod
			case c == ' ' && state == inMethod:
				state = inTarget
			default:
				return 0, false
			}
		case inTarget:
			switch {
			case c == ' ' && x.target != "":
				state = inVersion
			case c <= ' ' || c > '~':
				return 0, false
			default:
				x.target += string(c)
			}
		case inVersion:
			if c == '\r' {
				state = inVersionLF
			} else {
				x.version += string(c)
			}
		case inVersionLF:
			if c != '\n' || x.version != "HTTP/1.1" && x.version != "HTTP/1.0" {
				return 0, false
			}
			state = inFields
		}
	}
	if state != inFields {
		return 0, false
	}
	x.fields, n, ok = readFields(s[i:])
	return i + n, ok
}

// readFields reads field lines and the empty line behind them.
func readFields(s string) (fields [][2]string, n int, ok bool) {
	const (
		atLine = iota
		inName
		inValue
		inLF
		inLastLF
	)
	state, name, value := atLine, "", ""
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch state {
		case atLine, inName:
			switch {
			case c == '\r' && state == atLine:
				state = inLastLF
			case c == ':' && state == inName:
				state = inValue
			case isToken(c):
				name += strings.ToLower(string(c))
				state = inName
			default:
				return nil, 0, false
			}
		case inValue:
			switch {
			case c == '\r':
				state = inLF
			case c == '\t' || c >= ' ' && c != 0x7f:
				value += string([]byte{c})
			default:
				return nil, 0, false
			}
		case inLF:
			if c != '\n' {
				return nil, 0, false
			}
			fields = append(fields, [2]string{name, strings.Trim(value, " \t")})
			state, name, value = atLine, "", ""
		case inLastLF:
			return fields, i + 1, c == '\n'
		}
	}
	return nil, 0, false
}

func (x *seen) values(name string) (out []string) {
	for _, f := range x.fields {
		if f[0] == name {
			out = append(out, f[1])
		}
	}
	return out
}

// framing says how the content is delimited.
func (x *seen) framing() (length int, chunked, ok bool) {
	x.close = x.version == "HTTP/1.0"
	for _, v := range x.values("connection") {
		for _, option := range strings.Split(strings.ToLower(v), ",") {
			x.close = x.close || strings.Trim(option, " \t") == "close"
		}
	}
	lengths, codings := x.values("content-length"), x.values("transfer-encoding")
	switch {
	case len(codings) == 1:
		return 0, true, len(lengths) == 0 && strings.ToLower(codings[0]) == "chunked" && x.version == "HTTP/1.1"
	case len(codings) > 1 || len(lengths) > 1:
		return 0, false, false
	case len(lengths) == 0:
		return 0, false, true
	}
	for _, c := range []byte(lengths[0]) {
		if c < '0' || c > '9' {
			return 0, false, false
		}
	}
	v, ok := new(big.Int).SetString(lengths[0], 10)
	if !ok || !v.IsInt64() {
		return 0, false, false
	}
	return int(v.Int64()), false, true
}

// readChunks reads chunked content with its trailer.
func (x *seen) readChunks(s string) (n int, ok bool) {
	for {
		line, rest, found := strings.Cut(s[n:], "\r\n")
		size, extensions, _ := strings.Cut(line, ";")
		if !found || strings.ContainsAny(line, "\r\n\x00") || size == "" || strings.Trim(size, "0123456789abcdefABCDEF") != "" {
			return 0, false
		}
		_ = extensions // whatever they are, they end with the line
		v, _ := new(big.Int).SetString(size, 16)
		n += len(line) + 2
		if v.Sign() == 0 {
			trailer, m, ok := readFields(rest)
			x.trailer = trailer
			return n + m, ok
		}
		if v.Cmp(big.NewInt(int64(len(rest)-2))) > 0 {
			return 0, false
		}
		end := int(v.Int64())
		if x.content += rest[:end]; rest[end:end+2] != "\r\n" {
			return 0, false
		}
		n += end + 2
	}
}
