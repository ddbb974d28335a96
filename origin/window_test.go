//go:build linux

package origin

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// A reader that stalls must not make us take the whole response from the
// endpoint: what the kernel holds is bounded.
func TestStalledReaderHoldsLittle(t *testing.T) {
	const size = 64 << 20
	taken, stalled := make(chan int), make(chan struct{})
	s := script(t, func(_ int, c *peer) {
		if _, err := c.head(); err != nil {
			return
		}
		c.say("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
		// What is not taken stands in the endpoint's own buffer.
		_ = c.Conn.(*net.TCPConn).SetWriteBuffer(64 << 10)
		total, piece := 0, []byte(strings.Repeat("x", 64<<10))
		for total < size {
			_ = c.SetWriteDeadline(time.Now().Add(time.Second / 4))
			n, err := c.Write(piece)
			total += n
			select {
			case <-stalled:
			default:
				continue
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
		}
		taken <- total
		c.ended()
	})
	conf := config(t, s.url)
	conf.Tuning.ReceiveWindow = 128 << 10
	res, err := start(t, conf).Fill(t.Context(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	// Reading fast for a while makes the kernel offer ever more.
	const read = 32 << 20
	if _, err := io.CopyN(io.Discard, res.Body, read); err != nil {
		t.Fatal(err)
	}
	close(stalled)
	if n := <-taken - read; n > 512<<10 {
		t.Errorf("%d bytes were taken that nobody reads", n)
	}
}
