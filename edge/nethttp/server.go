// Package nethttp serves exchanges with net/http and quic-go's http3. It is
// the reference that tests compare our own servers with: nothing that is
// shipped imports it, and it has no limits.
package nethttp

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/quic-go/quic-go/http3"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// Server serves one handler over HTTP/1.1, HTTP/2 and HTTP/3, on one port
// of 127.0.0.1.
type Server struct {
	handler exchange.Handler
	ln      net.Listener
	tcp     *http.Server
	quic    *http3.Server
	serving sync.WaitGroup
}

// Start opens the port and serves until Close.
func Start(h exchange.Handler, conf *tls.Config) (*Server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(ln.Addr().(*net.TCPAddr).AddrPort()))
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	s := &Server{handler: h, ln: ln}
	handle := http.HandlerFunc(s.serve)
	s.tcp = &http.Server{Handler: handle, TLSConfig: conf.Clone(), DisableGeneralOptionsHandler: true}
	s.quic = &http3.Server{Handler: handle, TLSConfig: http3.ConfigureTLSConfig(conf.Clone())}
	s.serving.Go(func() { _ = s.tcp.ServeTLS(ln, "", "") }) // ends with Close
	s.serving.Go(func() { _ = s.quic.Serve(udp); _ = udp.Close() })
	return s, nil
}

// Addr returns the address that is served, over TCP and UDP.
func (s *Server) Addr() netip.AddrPort { return s.ln.Addr().(*net.TCPAddr).AddrPort() }

// Close ends all connections.
func (s *Server) Close() error {
	err := errors.Join(s.tcp.Close(), s.quic.Close())
	s.serving.Wait()
	return err
}

func (s *Server) serve(w http.ResponseWriter, hr *http.Request) {
	wr := &writer{w: w}
	s.handler.ServeExchange(hr.Context(), wr, s.request(wr, hr))
	if wr.aborted {
		panic(http.ErrAbortHandler)
	}
}
