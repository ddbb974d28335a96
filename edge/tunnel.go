package edge

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/landfall-cdn/landfall/cache"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// tunnel joins the client's connection and the origin's after a switch of
// protocols, until both directions have ended, one has failed, or neither
// has carried a byte for the limit.
func (x *passage) tunnel(res *cache.Result) {
	x.outcome = exchange.Tunnel
	origin := res.Response.Tunnel
	h := res.Response.Header
	if cookie := x.cookie(res); cookie != "" {
		h.Add("set-cookie", cookie)
	}
	if !x.r.Relayed() {
		h.Add("via", "1.1 "+Name)
		h = x.own(h)
	}
	x.from = x.placed.from.Load()
	x.status, x.firstByte = http.StatusSwitchingProtocols, time.Since(x.r.Arrived)
	client, err := x.w.Tunnel(h)
	if err != nil {
		x.note(errors.Join(err, origin.Close()))
		return
	}
	j := &join{client: client, origin: origin, limit: x.s.conf.Limits.TunnelIdle}
	if j.run() {
		x.s.conf.Counters.Hit(limits.TunnelIdle)
	}
	x.received = j.up.Load()
	x.sent = j.down.Load()
}

// join is two connections that became one.
type join struct {
	client, origin io.ReadWriteCloser
	limit          time.Duration

	up, down atomic.Int64 // bytes carried
}

// run copies both ways and reports whether silence ended it.
func (j *join) run() (silent bool) {
	var once sync.Once
	var timedOut atomic.Bool
	shut := func() {
		once.Do(func() {
			_ = j.client.Close() // ends the other copy
			_ = j.origin.Close()
		})
	}
	idle := time.AfterFunc(j.limit, func() { timedOut.Store(true); shut() })
	defer idle.Stop()
	var both sync.WaitGroup
	both.Go(func() { j.copy(j.origin, j.client, &j.up, idle, shut) })
	both.Go(func() { j.copy(j.client, j.origin, &j.down, idle, shut) })
	both.Wait()
	shut()
	return timedOut.Load()
}

// copy carries one direction. Its end is passed on as the end of that
// direction only where the other side can show it; an error ends both.
func (j *join) copy(dst io.Writer, src io.Reader, n *atomic.Int64, idle *time.Timer, shut func()) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	for {
		m, err := src.Read(*buf)
		if m > 0 {
			idle.Reset(j.limit)
			w, werr := dst.Write((*buf)[:m])
			n.Add(int64(w))
			if werr != nil {
				shut()
				return
			}
		}
		if err == nil {
			continue
		}
		half, ok := dst.(interface{ CloseWrite() error })
		if err != io.EOF || !ok || half.CloseWrite() != nil {
			shut()
		}
		return
	}
}
