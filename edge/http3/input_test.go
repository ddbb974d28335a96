package http3

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// TestGather: a long section is read whole however it comes, and the buffer
// grows with what has come only.
func TestGather(t *testing.T) {
	data := make([]byte, 100_000)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for name, src := range map[string]io.Reader{
		"at once":      bytes.NewReader(data),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(data)),
		"in halves":    iotest.HalfReader(bytes.NewReader(data)),
		"end with it":  iotest.DataErrReader(bytes.NewReader(data)),
	} {
		t.Run(name, func(t *testing.T) {
			in := &input{src: src}
			defer in.release()
			for at, n := 0, 0; at < len(data); at += n {
				n = min(1+at, len(data)-at)
				b, err := in.gather(n)
				if err != nil || !bytes.Equal(b, data[at:at+n]) {
					t.Fatalf("%d bytes at %d: %v", n, at, err)
				}
			}
			if _, err := in.gather(1); err != errTruncated {
				t.Errorf("past the end: %v", err)
			}
		})
	}
	in := &input{src: bytes.NewReader(data[:10])}
	if _, err := in.gather(headSize); err != errTruncated || cap(in.buf.data) != readSize {
		t.Errorf("announced %d bytes and sent 10: %v, a buffer of %d", headSize, err, cap(in.buf.data))
	}
}
