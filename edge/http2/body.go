package http2

import (
	"io"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/edge/wire"
)

// body is a request's content. One goroutine reads it; another may close it
// meanwhile, or after the exchange has ended.
type body struct {
	s *stream

	// Owned by the reader.
	expects bool  // the client waits for 100 (Continue)
	read    int64 // bytes
	waited  time.Duration
}

func (c *Conn) newBody(s *stream, r *exchange.Request) *body {
	return &body{s: s, expects: takeExpect(r)}
}

// Read implements io.Reader. The client must keep the pace; only the time in
// which we wait for it counts.
func (b *body) Read(p []byte) (int, error) {
	c, x := b.s.c, b.s.x
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if n, done, err := c.receive(b.s, p); done {
			b.read += int64(n)
			return n, err
		}
		if x.tooSlow {
			return 0, wire.ErrTooSlow
		}
		if b.expects {
			b.expects = false
			c.proceed(b.s)
			continue
		}
		start := time.Now()
		x.due = start.Add(c.pace.Read(b.read, b.waited))
		c.remind(x.due)
		x.changed.Wait()
		x.due = time.Time{}
		b.waited += time.Since(start)
	}
}

// Close implements io.Closer. What still comes is dropped; its stream ends
// with the response.
func (b *body) Close() error {
	c := b.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	b.s.x.wanted = false
	b.s.x.in.reset()
	b.s.x.changed.Broadcast()
	return nil
}

// proceed sends 100 (Continue) to a client that waits for it.
func (c *Conn) proceed(s *stream) {
	if s.open && !s.x.headed {
		s.blocks = append(s.blocks, appendStatus(nil, 100))
		c.enqueue(s)
		c.handOver()
	}
}

// receive moves content that is here into p. done is false when there is
// none, and more may come.
func (c *Conn) receive(s *stream, p []byte) (n int, done bool, err error) {
	x := s.x
	switch {
	case s.gone != nil:
		return 0, true, s.gone
	case !x.wanted:
		return 0, true, errBodyClosed
	case x.in.len() > 0:
		n = x.in.read(p)
		if c.takeStream(s, n) {
			c.handOver()
		}
		return n, true, nil
	case s.received:
		return 0, true, io.EOF
	case !s.open:
		return 0, true, errBodyClosed
	}
	return 0, false, nil
}
