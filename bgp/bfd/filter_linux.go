package bfd

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// networkHeader is where a filter finds the IP header of a packet, as the
// data of a UDP socket start behind it (SKF_NET_OFF).
const networkHeader = 0xfff00000

// The fields of the IP header that count: where they are, and how many
// words an address has.
const (
	ttl4, source4, words4 = 8, 12, 1
	ttl6, source6, words6 = 7, 8, 4
)

// attachFilter has the kernel drop what was forwarded on its way here
// (RFC 5881 section 5), or is not from one of the peers. IP_MINTTL and
// IPV6_MINHOPCOUNT would be shorter; Linux obeys them for TCP only.
func attachFilter(fd int, peers []netip.Addr) error {
	program, err := bpf.Assemble(filter(peers))
	if err != nil {
		return fmt.Errorf("assemble the filter: %w", err)
	}
	code := make([]unix.SockFilter, len(program))
	for i, in := range program {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
	if err != nil {
		return fmt.Errorf("attach the filter: %w", err)
	}
	return nil
}

// filter returns a program that keeps packets of the peers, all of one
// family and at least one, with a TTL of 255.
func filter(peers []netip.Addr) []bpf.Instruction {
	ttlAt, sourceAt, words := uint32(ttl4), uint32(source4), words4
	if peers[0].Is6() {
		ttlAt, sourceAt, words = ttl6, source6, words6
	}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: networkHeader + ttlAt, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: ttl, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
	for _, peer := range peers {
		raw := peer.AsSlice()
		for w := range words {
			// A word that differs leads to the next peer: past the words
			// that are left, two instructions each, and past the return.
			program = append(program,
				bpf.LoadAbsolute{Off: networkHeader + sourceAt + uint32(4*w), Size: 4},
				bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(raw[4*w:]), SkipFalse: uint8(2*(words-w-1) + 1)})
		}
		program = append(program, bpf.RetConstant{Val: bufferSize + 8}) // the data and the UDP header
	}
	return append(program, bpf.RetConstant{Val: 0})
}
