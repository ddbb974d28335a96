package message

import (
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/ascii"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// fieldCost is what a field counts beside its bytes, as ": " and CRLF
// would in HTTP/1.1.
const fieldCost = 4

// Section makes a request of the fields of one HTTP/2 or HTTP/3 field
// section (RFC 9113, 8.3; RFC 9114, 4.3), one by one as they are decoded,
// so that a limit holds before what exceeds it takes memory.
type Section struct {
	// Static between Begin and End.
	r   *exchange.Request
	lim *limits.Limits

	method, scheme, authority, path, protocol string
	host                                      string
	seen                                      pseudo
	regular                                   bool // a regular field has come
	hasLength                                 bool
	fields, size                              int
	over                                      exchange.Refusal
	malformed                                 bool
}

// pseudo is a set of pseudo-header fields.
type pseudo uint8

const (
	sawMethod pseudo = 1 << iota
	sawScheme
	sawAuthority
	sawPath
	sawProtocol
	sawHost
)

// Begin starts on a request: r's Header is filled from its beginning.
func (s *Section) Begin(r *exchange.Request, lim *limits.Limits) {
	*s = Section{r: r, lim: lim}
	r.Header, r.Length = r.Header[:0], -1
}

// Field takes the next field line. Once the section is malformed or over a
// limit, what follows is not kept.
func (s *Section) Field(name, value string) {
	s.fields++
	s.size += len(name) + len(value) + fieldCost
	switch {
	case s.malformed || s.over != exchange.Admitted:
	case s.fields-pseudos(s.seen) > s.lim.RequestFields+1:
		s.over = exchange.TooManyFields
	case s.size > s.lim.RequestHead+s.lim.RequestURI:
		s.over = exchange.HeadTooLarge
	case name != "" && name[0] == ':':
		s.malformed = s.regular || !FieldValue(value) || !s.pseudo(name, value)
	default:
		s.regular = true
		s.malformed = !Lower(name) || !FieldValue(value) || !s.field(name, value)
	}
}

// Over reports why the section is over a limit already: a decoder may stop
// keeping what it decodes.
func (s *Section) Over() exchange.Refusal { return s.over }

func pseudos(p pseudo) (n int) {
	for ; p != 0; p &= p - 1 {
		n++
	}
	return n
}

// pseudo takes a pseudo-header field: each at most once (RFC 9113, 8.3).
func (s *Section) pseudo(name, value string) bool {
	var bit pseudo
	var to *string
	switch name {
	case ":method":
		bit, to = sawMethod, &s.method
	case ":scheme":
		bit, to = sawScheme, &s.scheme
	case ":authority":
		bit, to = sawAuthority, &s.authority
	case ":path":
		bit, to = sawPath, &s.path
	case ":protocol":
		bit, to = sawProtocol, &s.protocol
	default:
		return false
	}
	if s.seen&bit != 0 {
		return false
	}
	s.seen |= bit
	*to = value
	return true
}

func (s *Section) field(name, value string) bool {
	switch name {
	case "host":
		first := s.seen&sawHost == 0
		s.seen |= sawHost
		s.host = value
		return first
	case "content-length":
		n, ok := Length(value)
		if s.hasLength || !ok {
			return false
		}
		s.hasLength, s.r.Length = true, n
		return true
	case "te":
		return value == "trailers"
	}
	if ConnectionSpecific(name) {
		return false
	}
	s.r.Header = append(s.r.Header, exchange.Field{Name: name, Value: value})
	return true
}

// End finishes the request: all but what the front end knows of its own,
// such as the client. It is false for a malformed one, which is a stream
// error (RFC 9113, 8.1.1). A section over a limit is an answerable request
// with Refused set.
func (s *Section) End() bool {
	if s.malformed {
		return false
	}
	r := s.r
	if s.over != exchange.Admitted {
		r.Refused = s.over
	} else if !s.complete() {
		return false
	}
	r.Method = s.method
	r.Path, r.Query = Target(s.path)
	if s.seen&sawAuthority == 0 {
		s.authority = s.host
	}
	host, port, ok := Authority(s.authority)
	if !ok && r.Refused == exchange.Admitted {
		r.Refused = exchange.BadHost
	}
	r.Host, r.Port = host, port
	if s.protocol != "" && r.Refused == exchange.Admitted {
		s.upgrade()
	}
	return true
}

// upgrade makes an extended CONNECT what an HTTP/1.1 client asks for with GET
// and Upgrade. WebSocket alone is carried.
func (s *Section) upgrade() {
	if !ascii.EqualFold(s.protocol, "websocket") {
		s.r.Refused = exchange.BadMethod
		return
	}
	s.r.Method, s.r.Upgrade = "GET", "websocket"
}

// complete reports whether what must be there is, and agrees.
func (s *Section) complete() bool {
	const all = sawMethod | sawScheme | sawPath
	switch {
	case s.seen&sawProtocol != 0:
		// RFC 8441, 4.
		return s.method == "CONNECT" && s.seen&all == all && s.seen&sawAuthority != 0 && s.protocol != "" && s.pathForm() && s.agrees()
	case s.method == "CONNECT":
		// RFC 9113, 8.5; admission refuses it.
		return s.seen&(sawScheme|sawPath) == 0 && s.seen&sawAuthority != 0
	}
	return s.seen&all == all && s.method != "" && s.pathForm() && s.seen&(sawAuthority|sawHost) != 0 && s.agrees()
}

// pathForm reports whether :path is an origin-form, or the asterisk-form of
// OPTIONS (RFC 9113, 8.3.1).
func (s *Section) pathForm() bool {
	return s.path != "" && s.path[0] == '/' || s.path == "*" && s.method == "OPTIONS"
}

// agrees reports whether Host says what :authority says, when both are
// there (RFC 9113, 8.3.1), and whether the scheme is one that is served.
func (s *Section) agrees() bool {
	if s.scheme != "https" && s.scheme != "http" {
		return false
	}
	return s.seen&(sawAuthority|sawHost) != sawAuthority|sawHost || s.host == s.authority
}

// Trailer collects the fields of a trailer section.
type Trailer struct {
	lim       *limits.Limits
	header    exchange.Header
	size      int
	malformed bool
	over      bool
}

// Begin starts on a trailer section.
func (t *Trailer) Begin(lim *limits.Limits) { *t = Trailer{lim: lim} }

// Field takes the next field line.
func (t *Trailer) Field(name, value string) {
	t.size += len(name) + len(value) + fieldCost
	switch {
	case !Lower(name) || !FieldValue(value) || ConnectionSpecific(name):
		t.malformed = true
	case t.size > t.lim.RequestTrailers || len(t.header) == t.lim.RequestFields:
		t.over = true
	case exchange.Trailable(name):
		t.header.Add(name, value)
	}
}

// End returns the fields that go on. ok is false for a malformed section,
// over for one over a limit.
func (t *Trailer) End() (h exchange.Header, over, ok bool) { return t.header, t.over, !t.malformed }
