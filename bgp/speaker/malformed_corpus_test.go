package speaker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"

	gobgppacket "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// corpus makes malformed UPDATE messages, the same ones in each run, and
// sorts them by what GoBGP does with them.
type corpus struct {
	random *rand.Rand

	survived [][]byte          // the session goes on
	resets   [][]byte          // the session ends
	killers  map[string][]byte // the process ends; by the line that panics
}

// newCorpus makes messages until so many are of the first kind.
func newCorpus(survived int) *corpus {
	c := &corpus{random: rand.New(rand.NewPCG(4271, 7606)), killers: map[string][]byte{}}
	// The smallest one: MP_REACH_NLRI that ends before its next hop.
	c.sort(update(attribute(0x40, 1, 0), attribute(0x40, 2), attribute(0x80, 14, 0, 1, 1)))
	for len(c.survived) < survived {
		c.sort(c.mutate(c.valid()))
	}
	return c
}

func (c *corpus) sort(body []byte) {
	switch fate, line := judge(body); fate {
	case "lives":
		c.survived = append(c.survived, body)
	case "resets":
		c.resets = append(c.resets, body)
	case "panics":
		if c.killers[line] == nil {
			c.killers[line] = body
		}
	}
}

// lines returns the lines that panic, in order.
func (c *corpus) lines() []string {
	var out []string
	for line := range c.killers {
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

// judge tells what becomes of a session that gets the message: it does
// what GoBGP's receiver does. "valid" messages are none of the corpus.
func judge(body []byte) (fate, line string) {
	defer func() {
		if recover() == nil {
			return
		}
		fate = "panics"
		for _, l := range strings.Split(string(debug.Stack()), "\n") {
			if strings.Contains(l, "osrg/gobgp") && strings.Contains(l, ".go:") {
				line, _, _ = strings.Cut(l[strings.LastIndex(l, "/")+1:], " ")
				return
			}
		}
	}()
	header := &gobgppacket.BGPHeader{Type: gobgppacket.BGP_MSG_UPDATE, Len: uint16(headerLength + len(body))}
	m, err := gobgppacket.ParseBGPBody(header, body)
	bad := err != nil
	if err != nil {
		if how := handling(err); how != "lives" {
			return how, ""
		}
		var e *gobgppacket.MessageError
		if errors.As(err, &e) && e.ErrorHandling == gobgppacket.ERROR_HANDLING_TREAT_AS_WITHDRAW {
			m.Body = gobgppacket.TreatAsWithdraw(m.Body.(*gobgppacket.BGPUpdate))
		}
	} else if err := gobgppacket.ValidateBGPMessage(m); err != nil {
		return "resets", ""
	}
	families := map[gobgppacket.RouteFamily]gobgppacket.BGPAddPathMode{gobgppacket.RF_IPv4_UC: 0}
	if ok, err := gobgppacket.ValidateUpdateMsg(m.Body.(*gobgppacket.BGPUpdate), families, true, false, false); !ok {
		bad = true
		if how := handling(err); how != "lives" {
			return how, ""
		}
	}
	if !bad {
		return "valid", ""
	}
	// What is not valid in RFC 6793, section 6, it finds last, and ends the
	// session where it need not.
	has := map[gobgppacket.BGPAttrType]bool{}
	for _, a := range m.Body.(*gobgppacket.BGPUpdate).PathAttributes {
		has[a.GetType()] = true
	}
	if has[gobgppacket.BGP_ATTR_TYPE_AS4_AGGREGATOR] && !has[gobgppacket.BGP_ATTR_TYPE_AGGREGATOR] {
		return "resets", ""
	}
	return "lives", ""
}

func handling(err error) string {
	var e *gobgppacket.MessageError
	if !errors.As(err, &e) {
		return "resets"
	}
	switch e.ErrorHandling {
	case gobgppacket.ERROR_HANDLING_TREAT_AS_WITHDRAW, gobgppacket.ERROR_HANDLING_ATTRIBUTE_DISCARD, gobgppacket.ERROR_HANDLING_NONE:
		return "lives"
	case gobgppacket.ERROR_HANDLING_AFISAFI_DISABLE:
		return "disables" // the session's only family: nothing to see after it
	default:
		return "resets"
	}
}

// valid returns the attributes of a valid message.
func (c *corpus) valid() [][]byte {
	r := c.random
	as := func() []byte { return binary.BigEndian.AppendUint32(nil, r.Uint32()) }
	path := append([]byte{2, 2}, append(as(), as()...)...)
	all := [][]byte{
		attribute(0x40, 1, byte(r.IntN(3))), attribute(0x40, 2, path...), attribute(0x40, 3, 10, 77, 0, byte(2+r.IntN(9))),
	}
	more := [][]byte{
		attribute(0x80, 4, as()...),
		attribute(0x40, 5, as()...),
		attribute(0x40, 6),
		attribute(0xc0, 7, append(as(), 10, 0, 0, 1)...),
		attribute(0xc0, 8, append(as(), as()...)...),
		attribute(0x80, 9, 10, 0, 0, 1),
		attribute(0x80, 10, 10, 0, 0, 1, 10, 0, 0, 2),
		attribute(0x80, 14, append([]byte{0, 1, 1, 4, 10, 77, 0, 2, 0}, 24, 203, 0, byte(r.IntN(256)))...),
		attribute(0x80, 14, append(append([]byte{0, 2, 1, 16, 0xfd, 0x77}, make([]byte, 14)...), 0, 32, 0x20, 0x01, 0x0d, 0xb8)...),
		attribute(0x80, 15, 0, 1, 1, 24, 203, 0, byte(r.IntN(256))),
		attribute(0x80, 15, 0, 2, 1, 32, 0x20, 0x01, 0x0d, 0xb8),
		attribute(0xc0, 16, append([]byte{0, 2}, append(as(), 0, 1)...)...),
		attribute(0xc0, 17, path...),
		attribute(0xc0, 18, append(as(), 10, 0, 0, 1)...),
		attribute(0xc0, 22, append([]byte{0, 6, 0, 0, 1}, as()...)...),
		attribute(0xc0, 23, 0, 15, 0, 4, 1, 2, 3, 4),
		attribute(0xc0, 25, append([]byte{0, 2}, make([]byte, 18)...)...),
		attribute(0x80, 26, 1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 5),
		attribute(0x80, 29, 4, 3, 0, 1, 7),
		attribute(0xc0, 32, append(append(as(), as()...), as()...)...),
		attribute(0xc0, 40, 1, 0, 7, 0, 0, 0, 0, 0, 0, 5),
		attribute(0xc0, byte(100+r.IntN(150)), as()...),
	}
	// Families that were not agreed on have parsers too: labels, VPN,
	// flow specifications.
	nlri := make([]byte, r.IntN(20))
	for i := range nlri {
		nlri[i] = byte(r.IntN(256))
	}
	kind := []byte{0, byte(1 + r.IntN(2)), []byte{2, 4, 128, 133, 134}[r.IntN(5)]}
	labelled := slices.Concat([]byte{byte(8 * r.IntN(16)), 0, 0, 1}, nlri)
	flow := slices.Concat([]byte{byte(r.IntN(len(nlri) + 3)), byte(1 + r.IntN(13)), byte(r.IntN(256))}, nlri)
	for _, v := range [][]byte{nlri, labelled, flow} {
		more = append(more,
			attribute(0x80, 15, slices.Concat(kind, v)...),
			attribute(0x80, 14, slices.Concat(kind, []byte{byte(r.IntN(24))}, v, v)...),
			attribute(0x80, 14, slices.Concat(kind, []byte{0, 0}, v)...))
	}
	for range r.IntN(4) {
		all = append(all, more[r.IntN(len(more))])
	}
	return all
}

// mutate breaks a message in one to three places.
func (c *corpus) mutate(all [][]byte) []byte {
	r := c.random
	for range 1 + r.IntN(3) {
		i := r.IntN(len(all))
		a := slices.Clone(all[i])
		switch r.IntN(8) {
		case 0: // flags
			a[0] = byte(r.IntN(256)) &^ 0x10
		case 1: // type
			a[1] = byte(r.IntN(256))
		case 2: // length, not the value
			a[2] = byte(r.IntN(256))
		case 3: // value cut, length right
			a = a[:3+r.IntN(len(a)-2)]
			a[2] = byte(len(a) - 3)
		case 4: // value longer, length right
			a = append(a, byte(r.IntN(256)), byte(r.IntN(256)))
			a[2] = byte(len(a) - 3)
		case 5: // any byte
			a[r.IntN(len(a))] = byte(r.IntN(256))
		case 6: // twice
			all = append(all, a)
		case 7: // missing
			if len(all) > 1 {
				all = slices.Delete(slices.Clone(all), i, i+1)
				continue
			}
		}
		all = slices.Clone(all)
		all[i] = a
	}
	body := update(all...)
	switch r.IntN(12) {
	case 0: // the lengths of the two lists
		body[r.IntN(4)] = byte(r.IntN(256))
	case 1: // NLRI cut
		body = body[:len(body)-1-r.IntN(3)]
	case 2: // NLRI of an impossible length
		body[len(body)-4] = byte(33 + r.IntN(200))
	}
	return body
}

const headerLength = 19

// update returns the body of an UPDATE that announces one prefix.
func update(attributes ...[]byte) []byte {
	all := slices.Concat(attributes...)
	body := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(all)))
	return append(append(body, all...), 24, 203, 0, 113)
}

func attribute(flags, kind byte, value ...byte) []byte {
	return append([]byte{flags, kind, byte(len(value))}, value...)
}

// message frames a body.
func message(kind byte, body []byte) []byte {
	out := append(make([]byte, 0, headerLength+len(body)), strings.Repeat("\xff", 16)...)
	out = binary.BigEndian.AppendUint16(out, uint16(headerLength+len(body)))
	return append(append(out, kind), body...)
}

func (c *corpus) String() string {
	return fmt.Sprintf("%d that a session survives, %d that end it, %d lines that panic: %v", len(c.survived), len(c.resets), len(c.killers), c.lines())
}
