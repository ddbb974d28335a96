package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// protocols are spoken by turns.
var protocols = []string{"h1", "h2", "h3"}

// arrivals opens connections at the rate that is wanted.
func (l *Load) arrivals(ctx, begin context.Context) {
	tick := time.NewTicker(time.Second / time.Duration(l.conf.New))
	defer tick.Stop()
	var visits sync.WaitGroup
	defer visits.Wait()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-begin.Done():
			return
		}
		visits.Go(func() { l.visit(ctx, protocols[i%len(protocols)]) })
	}
}

// visit asks once on a connection of its own, and once more on another when
// not a byte of an answer came.
func (l *Load) visit(ctx context.Context, proto string) {
	l.note(func(r *Report) { r.Requests++ })
	err := l.fetch(ctx, proto)
	if errors.Is(err, errNoAnswer) && ctx.Err() == nil {
		l.note(func(r *Report) { r.Retried++ })
		pause(ctx, retryPause)
		err = l.fetch(ctx, proto)
	}
	if err != nil && ctx.Err() == nil {
		l.failed(func(r *Report) { r.Failed++ }, proto+" "+l.conf.Quick, err)
	}
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// errNoAnswer is wrapped by errors of requests to which no byte of an
// answer came, which a client may send again.
var errNoAnswer = errors.New("no answer")

func (l *Load) fetch(ctx context.Context, proto string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	resp, closed, err := l.get(ctx, proto, l.conf.Quick, nil)
	if err != nil {
		return err
	}
	defer closed()
	n, err := io.Copy(io.Discard, resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("after %d bytes: %w", n, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d, %s", resp.StatusCode, resp.Header.Get("Proxy-Status"))
	}
	return nil
}

// get sends a request on a new connection. What it returns is closed by the
// function that comes with it.
func (l *Load) get(ctx context.Context, proto, path string, header http.Header) (resp *http.Response, closed func(), err error) {
	rt, end := l.transport(proto)
	defer func() {
		if err != nil {
			end()
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.conf.Host+path, nil)
	if err != nil {
		return nil, nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err = rt.RoundTrip(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return resp, func() { _ = resp.Body.Close(); end() }, nil
}

// transport speaks one protocol on connections of its own.
func (l *Load) transport(proto string) (rt http.RoundTripper, end func()) {
	conf := &tls.Config{RootCAs: l.conf.Roots}
	addr := netip.AddrPortFrom(l.conf.Addr, l.conf.HTTPS)
	if proto == "h3" {
		return l.transport3(conf, addr)
	}
	t := &http.Transport{
		TLSClientConfig: conf, ForceAttemptHTTP2: proto == "h2", DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.conf.Dial(ctx, 0, addr) },
	}
	if proto == "h1" {
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	return t, t.CloseIdleConnections
}

func (l *Load) transport3(conf *tls.Config, addr netip.AddrPort) (rt http.RoundTripper, end func()) {
	var socket net.PacketConn
	var q *quic.Transport
	t := &http3.Transport{
		TLSClientConfig: conf, DisableCompression: true,
		QUICConfig: &quic.Config{MaxIdleTimeout: attemptTime, KeepAlivePeriod: time.Second},
		Dial: func(ctx context.Context, _ string, conf *tls.Config, qc *quic.Config) (*quic.Conn, error) {
			s, err := l.conf.ListenPacket()
			if err != nil {
				return nil, err
			}
			socket, q = s, &quic.Transport{Conn: s}
			return q.DialEarly(ctx, net.UDPAddrFromAddrPort(addr), conf, qc)
		},
	}
	return t, func() {
		_ = t.Close()
		if q != nil {
			_ = q.Close()
			_ = socket.Close()
		}
	}
}
