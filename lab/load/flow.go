package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"
)

const (
	// FlowPeriod is how often a flow asks.
	FlowPeriod = 10 * time.Millisecond
	// FlowPatience is how long a flow waits for an answer, or for a
	// connection, before it tries anew. It is shorter than any client's, so
	// that a gap shows that TCP would hide behind its own timers.
	FlowPatience = 25 * time.Millisecond
)

// flow asks over and over, and notes when it is answered.
func (l *Load) flow(ctx context.Context, i int) {
	f := &flow{conf: &l.conf, index: i}
	defer f.close()
	tick := time.NewTicker(FlowPeriod)
	defer tick.Stop()
	seen := Report{}
	for ctx.Err() == nil {
		err := f.ask(ctx)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			if f.conn != nil {
				seen.Broken++
			}
			f.met(err)
			f.close()
			if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
				f.tried++
			}
			pause(ctx, time.Millisecond) // connections may be refused at once
			continue
		}
		seen.Probes++
		l.answered(i, time.Now(), f.trouble)
		f.trouble, f.since = f.trouble[:0], time.Now()
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	l.note(func(r *Report) { *r = r.Add(seen) })
}

// flow is one connection that is kept.
type flow struct {
	conf  *Config
	index int
	tried int      // connections that ended
	conn  net.Conn // nil: none
	read  *bufio.Reader

	since   time.Time // of the last answer
	trouble []string  // since then
}

// maxTrouble bounds what a flow remembers of a gap.
const maxTrouble = 4

// met remembers why there is no answer.
func (f *flow) met(err error) {
	if len(f.trouble) < maxTrouble {
		f.trouble = append(f.trouble, fmt.Sprintf("%.1f ms, port %d: %v", time.Since(f.since).Seconds()*1e3, f.port(), err))
	}
}

// portRange is how many ports flows use, from Config.Port on.
const portRange = 2000

// port is another one after a connection was reset: a node that a route led
// to before may still have the old one, and would answer for it. While there
// is silence it stays, so that routers send the flow the same way until
// routes change.
func (f *flow) port() int {
	return f.conf.Port + (f.index+f.tried*f.conf.Flows)%portRange
}

func (f *flow) close() {
	if f.conn != nil {
		_ = f.conn.Close()
		f.conn = nil
	}
}

// ask sends a request and reads the answer.
func (f *flow) ask(ctx context.Context) error {
	if f.conn == nil {
		dial, cancel := context.WithTimeout(ctx, FlowPatience)
		defer cancel()
		conn, err := f.conf.Dial(dial, f.port(), netip.AddrPortFrom(f.conf.Addr, f.conf.HTTP))
		if err != nil {
			return err
		}
		f.conn, f.read = conn, bufio.NewReader(conn)
	}
	if err := f.conn.SetDeadline(time.Now().Add(FlowPatience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", f.conf.Quick, f.conf.Host); err != nil {
		return err
	}
	resp, err := http.ReadResponse(f.read, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	if resp.Close { // a node that drains says so; the answer is good
		f.close()
		f.tried++
	}
	return nil
}
