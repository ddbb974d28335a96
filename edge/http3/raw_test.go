package http3

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// frame is a frame as it goes over the wire.
func frame(typ uint64, payload ...byte) []byte {
	return append(quicvarint.Append(quicvarint.Append(nil, typ), uint64(len(payload))), payload...)
}

// fields is a field section.
func fields(h ...exchange.Field) []byte {
	b := appendSectionPrefix(nil)
	for _, f := range h {
		b = appendPlain(b, f.Name, f.Value)
	}
	return b
}

// head is a HEADERS frame with a request for "/", and more fields.
func head(method string, more ...exchange.Field) []byte {
	h := append([]exchange.Field{{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "a.test"}}, more...)
	return frame(frameHeaders, fields(h...)...)
}

func field(name, value string) exchange.Field { return exchange.Field{Name: name, Value: value} }

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// times is n copies of b.
func times(n int, b []byte) (out []byte) {
	for range n {
		out = append(out, b...)
	}
	return out
}

// bidi opens a request stream that begins with b.
func bidi(t *testing.T, qc *quic.Conn, b []byte) *quic.Stream {
	t.Helper()
	s, err := qc.OpenStreamSync(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(b); err != nil {
		t.Fatal(err)
	}
	return s
}

// closedWith waits for the end of a connection and returns its code.
func closedWith(t *testing.T, e *edge, qc *quic.Conn) code {
	t.Helper()
	select {
	case <-qc.Context().Done():
	case <-e.ctx().Done():
		t.Fatal("the connection is still open")
	}
	var app *quic.ApplicationError
	if !errors.As(context.Cause(qc.Context()), &app) || !app.Remote {
		t.Fatalf("the connection ended with %v", context.Cause(qc.Context()))
	}
	return code(app.ErrorCode)
}

// resetWith waits for the end of a stream and returns its code.
func resetWith(t *testing.T, s *quic.Stream) code {
	t.Helper()
	_, err := io.ReadAll(s)
	var reset *quic.StreamError
	if !errors.As(err, &reset) || !reset.Remote {
		t.Fatalf("the stream ended with %v", err)
	}
	return code(reset.ErrorCode)
}

// answer is a response, read frame by frame.
type answer struct {
	heads []exchange.Header // trailers included
	body  []byte
}

// read reads a response to its end.
func read(t *testing.T, s io.Reader) (a answer) {
	t.Helper()
	in := &input{src: s}
	for {
		typ, length, err := in.header()
		if err == io.EOF {
			return a
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := in.gather(int(length))
		if err != nil {
			t.Fatal(err)
		}
		switch typ {
		case frameHeaders:
			a.heads = append(a.heads, decode(t, b))
		case frameData:
			a.body = append(a.body, b...)
		default:
			t.Fatalf("frame of type %d", typ)
		}
	}
}

func decode(t *testing.T, block []byte) (h exchange.Header) {
	t.Helper()
	var d decoder
	if err := d.begin(append([]byte(nil), block...)); err != nil {
		t.Fatal(err)
	}
	for d.more() {
		name, value, err := d.next()
		if err != nil {
			t.Fatal(err)
		}
		h.Add(name, value)
	}
	return h
}
