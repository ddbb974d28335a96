package relay

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// raw is the end of a connection that speaks as a test wants, on a network in
// memory: to a server, or to Peers.
type raw struct {
	t    testing.TB
	conn *tls.Conn
	in   []byte
}

// rawAsker connects to p's server as node 3.
func (p *pair) rawAsker() *raw {
	p.t.Helper()
	nc, _ := p.net.dial(context.Background(), netip.AddrPort{})
	r := &raw{t: p.t, conn: tls.Client(nc, ours(p.rawTLS(1)))}
	if err := r.conn.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = nc.Close() })
	return r
}

// hello is what begins a connection.
func (r *raw) hello() *raw {
	h := hello{window: firstWindow, maxHead: 1 << 16}
	r.write(h.frame())
	return r
}

func (r *raw) write(b []byte) {
	r.t.Helper()
	if _, err := r.conn.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// send writes a frame.
func (r *raw) send(k kind, stream uint32, p []byte) {
	r.t.Helper()
	r.write(append(frame{k, len(p), stream}.appendTo(nil), p...))
}

// head sends the HEAD of a request.
func (r *raw) head(stream uint32, path, method string) {
	r.t.Helper()
	req := get(path)
	req.Method = method
	r.send(frameHead, stream, appendRequest(nil, flagsOf(req), req))
}

// next returns the next frame, and io.EOF at the end of the connection.
func (r *raw) next() (frame, []byte, error) {
	for {
		if len(r.in) >= frameHeader {
			f := frame{kind(r.in[0]), int(r.in[1])<<16 | int(r.in[2])<<8 | int(r.in[3]), binary.BigEndian.Uint32(r.in[4:])}
			if end := frameHeader + f.length; len(r.in) >= end {
				p := r.in[frameHeader:end]
				r.in = r.in[end:]
				return f, p, nil
			}
		}
		b := make([]byte, 32<<10)
		n, err := r.conn.Read(b)
		r.in = append(r.in, b[:n]...)
		if err != nil {
			return frame{}, nil, io.EOF
		}
	}
}

// wants reads on to a frame of kind k, past PINGs and PONGs.
func (r *raw) wants(k kind, stream uint32) []byte {
	r.t.Helper()
	for {
		f, p, err := r.next()
		if err != nil {
			r.t.Fatalf("%v in place of %v", err, k)
		}
		if f.kind == framePing || f.kind == framePong {
			continue
		}
		if f.kind != k || f.stream != stream {
			r.t.Fatalf("%v on stream %d, want %v on %d", f.kind, f.stream, k, stream)
		}
		return p
	}
}

// ends reads on to the end of the connection.
func (r *raw) ends() {
	for {
		if _, _, err := r.next(); err != nil {
			return
		}
	}
}

// rawAnswerer is a server for one connection of Peers, which speaks as serve
// wants. It returns the Peers, as node 2.
func rawAnswerer(t *testing.T, counters *limits.Counters, serve func(r *raw)) *Peers {
	t.Helper()
	ca := newAuthority(t)
	net := newMemory()
	changes := make(chan bool, 100)
	p := New(Config{
		Self: 2, Client: ca.client(t, 2), Limits: limits.Default(), Counters: counters, Log: nop,
		Reached: func(_ affinity.NodeID, ok bool) { changes <- ok },
	})
	p.dial = net.dial
	conf := ours(ca.server(t, 1))
	done := make(chan struct{})
	go func() {
		defer close(done)
		nc, err := net.Accept()
		if err != nil {
			return
		}
		net.setDown(true)
		r := &raw{t: t, conn: tls.Server(nc, conf)}
		r.write(hello{window: firstWindow, streams: 10, maxHead: 1 << 16}.frame())
		serve(r)
		_ = nc.Close()
	}()
	end := running(t, p.Run)
	t.Cleanup(func() { _ = end(); _ = net.Close(); <-done })
	p.Follow(map[affinity.NodeID]netip.AddrPort{1: netip.MustParseAddrPort("10.0.0.1:1")})
	if !<-changes {
		t.Fatal("not reached")
	}
	return p
}
