package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/affinity"
	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/limits"
)

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	// Addr is where other nodes connect; with port 0 the kernel chooses one.
	Addr netip.AddrPort
	// TLS carries this node's certificate and demands one of whoever connects,
	// and PeerID says which node a certificate is of. Neither may be nil.
	TLS    *tls.Config
	PeerID func(tls.ConnectionState) (affinity.NodeID, error)
	// Handler answers what other nodes ask. The Writer that it gets is an
	// exchange.PeerWriter.
	Handler exchange.Handler
	// Calls answers calls, by name.
	Calls    map[string]CallFunc
	Limits   limits.Limits
	Counters *limits.Counters // nil counts nothing
	// Drain bounds how long requests may take to end once Run is told to stop.
	Drain time.Duration
	Log   *zap.Logger
}

// CallFunc answers a call of another node. payload is its own to keep; it and
// the answer are at most MaxPayload bytes. An error reaches the caller as its
// text.
type CallFunc func(ctx context.Context, from affinity.NodeID, payload []byte) ([]byte, error)

// Server answers what other nodes ask.
type Server struct {
	// Static after Listen.
	conf ServerConfig
	tls  *tls.Config
	ln   net.Listener
	met  *serveMetrics

	// handshakes has a place for each handshake in progress.
	handshakes chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	conns    map[*serverConn]struct{}
	perPeer  [affinity.MaxNodes + 1]int
	draining bool
}

const (
	// maxHandshakes bounds what those can make us do who are no nodes.
	maxHandshakes = 64
	// maxConns is how many connections one node may have. One is what it
	// needs; another may be at its end.
	maxConns = 8
)

// Listen opens the socket. Nothing is accepted before Run.
func Listen(conf ServerConfig, reg prometheus.Registerer) (*Server, error) {
	ln, err := net.Listen("tcp", conf.Addr.String())
	if err != nil {
		return nil, fmt.Errorf("listening for other nodes: %w", err)
	}
	return newServer(conf, ln, reg), nil
}

func newServer(conf ServerConfig, ln net.Listener, reg prometheus.Registerer) *Server {
	return &Server{
		conf:       conf,
		tls:        ours(conf.TLS),
		ln:         ln,
		met:        newServeMetrics(reg),
		handshakes: make(chan struct{}, maxHandshakes),
		conns:      map[*serverConn]struct{}{},
	}
}

// ours returns settings for this protocol alone. Records are as large as can
// be from the first on: nobody waits for a part of one.
func ours(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{ALPN}
	c.MinVersion = tls.VersionTLS13
	c.DynamicRecordSizingDisabled = true
	return c
}

// Addr returns where the server listens.
func (s *Server) Addr() netip.AddrPort {
	if a, ok := s.ln.Addr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// Run serves until ctx is done, then drains: other nodes are told to ask no
// more, and what is in flight may end within ServerConfig.Drain.
func (s *Server) Run(ctx context.Context, ready func()) error {
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	var conns, accepting sync.WaitGroup
	ended := make(chan error, 1) // one value, which may not be asked for
	accepting.Go(func() { ended <- s.accept(base, &conns) })
	ready()
	var err error
	select {
	case <-ctx.Done():
		err = s.ln.Close()
	case err = <-ended:
		_ = s.ln.Close() // it has failed already
	}
	accepting.Wait()
	s.drain()
	last := time.AfterFunc(s.conf.Drain, func() { cut(errDrained) })
	defer last.Stop()
	conns.Wait()
	return err
}

// accept takes connections in until the listener is closed.
func (s *Server) accept(ctx context.Context, conns *sync.WaitGroup) error {
	for {
		nc, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		if err != nil {
			s.met.acceptErrors.Inc()
			s.conf.Log.Warn("accepting a connection of another node", zap.Error(err))
			pause(ctx, acceptPause)
			continue
		}
		select {
		case s.handshakes <- struct{}{}:
			conns.Go(func() { s.serve(ctx, nc) })
		default:
			s.met.turnedAway[tooManyHandshakes].Inc()
			_ = nc.Close() // nothing was said on it
		}
	}
}

// acceptPause keeps a lack of file descriptors from becoming a busy loop.
const acceptPause = 50 * time.Millisecond

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// serve is a connection, start to end.
func (s *Server) serve(ctx context.Context, nc net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	c, err := s.shake(ctx, nc)
	<-s.handshakes
	if err != nil {
		s.conf.Log.Info("a connection for nodes was turned away",
			zap.Stringer("from", nc.RemoteAddr()), zap.Error(err))
		_ = nc.Close() // of no more use
		return
	}
	c.run()
	s.leave(c)
}

// shake makes a connection of another node out of one of anybody.
func (s *Server) shake(base context.Context, nc net.Conn) (*serverConn, error) {
	// Nobody who dials waits longer.
	ctx, cancel := context.WithTimeout(base, s.conf.Limits.RelayDead)
	defer cancel()
	below := newPipe(nc)
	tc := tls.Server(below, s.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		s.met.turnedAway[badHandshake].Inc()
		return nil, err
	}
	state := tc.ConnectionState()
	id, err := s.conf.PeerID(state)
	switch {
	case err != nil:
	case len(state.VerifiedChains) == 0:
		err = errors.New("its certificate was not verified; the TLS settings must demand it")
	case state.NegotiatedProtocol != ALPN:
		err = fmt.Errorf("it speaks %q, want %q", state.NegotiatedProtocol, ALPN)
	case id == 0:
		err = errors.New("its certificate is that of node 0, which is none")
	}
	if err != nil {
		s.met.turnedAway[badIdentity].Inc()
		return nil, err
	}
	below.gather()
	return s.enter(newServerConn(base, s, id, tc, below))
}

// enter takes a connection in.
func (s *Server) enter(c *serverConn) (*serverConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perPeer[c.id] >= maxConns {
		s.met.turnedAway[tooManyConns].Inc()
		return nil, fmt.Errorf("%s has %d connections already", nodeName(c.id), maxConns)
	}
	s.perPeer[c.id]++
	s.conns[c] = struct{}{}
	if s.draining {
		c.goAway()
	}
	return c, nil
}

func (s *Server) leave(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.perPeer[c.id]--
	delete(s.conns, c)
}

// drain has every connection end by itself.
func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for c := range s.conns {
		c.goAway()
	}
}

// Close gives the address back, of a Server that never ran.
func (s *Server) Close() error { return s.ln.Close() }
