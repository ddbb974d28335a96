package relay

import (
	"encoding/binary"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// Room for what nodes say to one another on top of what clients and origins
// may: sessions, names and addresses in a head, fields of our own.
const (
	headRoom   = 16 << 10
	fieldsRoom = 32
)

// flags are what a HEAD begins with.
type flags uint8

const (
	hasBody    flags = 1 << iota // content follows, once it is asked for
	hasTrailer                   // perhaps with trailer fields
	isEarly
	isSecure  // what TLS settled is there
	isResumed // of isSecure
	wantsInterim
	endFlags
)

func (f flags) has(g flags) bool { return f&g != 0 }

// valid reports whether f can be: bits that need another have it.
func (f flags) valid() bool {
	return f < endFlags && (f.has(hasBody) || !f.has(hasTrailer)) && (f.has(isSecure) || !f.has(isResumed))
}

func flagsOf(r *exchange.Request) (f flags) {
	set := func(g flags, on bool) {
		if on {
			f |= g
		}
	}
	set(hasBody, r.Body != nil)
	set(hasTrailer, r.Body != nil && r.Trailer != nil)
	set(isEarly, r.Early)
	set(isSecure, r.TLS != nil)
	set(isResumed, r.TLS != nil && r.TLS.Resumed)
	set(wantsInterim, r.Interim != nil)
	return f
}

// appendRequest appends the payload of a HEAD.
func appendRequest(b []byte, f flags, r *exchange.Request) []byte {
	b = append(b, byte(f), byte(r.Asked), byte(r.Proto))
	b = binary.AppendVarint(b, r.Length)
	b = appendText(b, r.Method)
	b = appendText(b, r.Scheme)
	b = appendText(b, r.Host)
	b = appendText(b, r.Port)
	b = appendText(b, r.Path)
	b = appendText(b, r.Query)
	b = appendText(b, r.Upgrade)
	b = appendAddrPort(b, r.Client)
	b = appendAddrPort(b, r.Local)
	if r.TLS != nil {
		b = binary.AppendUvarint(b, uint64(r.TLS.Version))
		b = appendText(b, r.TLS.ServerName)
		b = appendText(b, r.TLS.ALPN)
	}
	b = appendText(b, r.ID)
	b = appendText(b, r.Session)
	b = appendText(b, r.Endpoint)
	return appendFields(b, r.Header)
}

// incoming is a request as it arrives. Its texts are views of the payload.
type incoming struct {
	flags   flags
	request exchange.Request
	tls     exchange.TLS
}

// parse reads the payload of a HEAD with at most most fields. It keeps the
// header's memory for the next one.
func (in *incoming) parse(p []byte, most int) bool {
	r := &in.request
	h := r.Header[:0]
	*r = exchange.Request{}
	d := decoder{b: p}
	in.flags = flags(d.byte())
	r.Asked, r.Proto = exchange.Ask(d.byte()), exchange.Proto(d.byte())
	r.Early = in.flags.has(isEarly)
	r.Length = d.length()
	r.Method, r.Scheme = d.text(), d.text()
	r.Host, r.Port = d.text(), d.text()
	r.Path, r.Query = d.text(), d.text()
	r.Upgrade = d.text()
	r.Client, r.Local = d.addrPort(), d.addrPort()
	if in.flags.has(isSecure) {
		v := d.uint()
		in.tls = exchange.TLS{Version: uint16(v), ServerName: d.text(), ALPN: d.text(), Resumed: in.flags.has(isResumed)}
		if v > 0xffff {
			d.fail()
		}
		r.TLS = &in.tls
	}
	r.ID, r.Session, r.Endpoint = d.text(), d.text(), d.text()
	r.Header = d.fields(h, most)
	return d.done() && in.flags.valid() && r.Asked.Valid() && r.Proto <= exchange.HTTP3 && r.Method != ""
}

// kept returns a copy of the request that shares nothing with the payload.
func (in *incoming) kept() *exchange.Request {
	k := &incoming{request: in.request}
	r := &k.request
	if r.TLS != nil {
		k.tls = *r.TLS
		r.TLS = &k.tls
	}
	r.Header = append(make(exchange.Header, 0, len(r.Header)+4), r.Header...)
	texts := [...]*string{
		&r.Method, &r.Scheme, &r.Host, &r.Port, &r.Path, &r.Query, &r.Upgrade,
		&k.tls.ServerName, &k.tls.ALPN, &r.ID, &r.Session, &r.Endpoint,
	}
	n := 0
	for _, s := range texts {
		n += len(*s)
	}
	for i := range r.Header {
		n += len(r.Header[i].Name) + len(r.Header[i].Value)
	}
	all := packer{room: make([]byte, 0, n)}
	for _, s := range texts {
		all.pack(s)
	}
	for i := range r.Header {
		all.pack(&r.Header[i].Name)
		all.pack(&r.Header[i].Value)
	}
	return r
}

// packer copies texts into one room.
type packer struct{ room []byte }

func (p *packer) pack(s *string) {
	at := len(p.room)
	p.room = append(p.room, *s...)
	*s = exchange.Borrowed(p.room[at:])
}

// safe reports whether a method changes nothing (RFC 9110, 9.2.1): done
// twice, or too late, it does no harm.
func safe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// maxHeadOf is the largest head that a node with these limits takes.
func maxHeadOf(l *limits.Limits) int {
	return min(max(l.RequestHead, l.ResponseHead)+headRoom, maxLength)
}

// maxResponseFields bounds the fields of a response: there is no limit on
// their number but that of bytes, and a field takes three.
func maxResponseFields(payload []byte) int { return len(payload)/3 + 1 }
