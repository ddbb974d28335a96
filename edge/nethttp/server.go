package nethttp

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"go.uber.org/zap"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// headSlack is how much larger than Limits.RequestHead a head may be
// before the servers themselves refuse it: admission counts the decoded
// head exactly and answers in our words, net/http counts bytes on the
// wire and answers in its own.
const headSlack = 2

func (f *Front) newServer(base context.Context, secure bool) *http.Server {
	lim := f.conf.Limits
	server := &http.Server{
		Handler:                      http.HandlerFunc(f.serveHTTP),
		ReadHeaderTimeout:            lim.HeaderTime,
		IdleTimeout:                  lim.IdleTime,
		MaxHeaderBytes:               headSlack * lim.RequestHead,
		BaseContext:                  func(net.Listener) context.Context { return base },
		ConnContext:                  connContext,
		ConnState:                    connState,
		DisableGeneralOptionsHandler: true, // OPTIONS * is the site's to answer
		ErrorLog:                     zap.NewStdLog(f.conf.Log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          lim.Streams,
			MaxReceiveBufferPerStream:     lim.StreamWindow,
			MaxReceiveBufferPerConnection: lim.ConnWindow,
			WriteByteTimeout:              lim.BodyStall,
		},
	}
	if secure {
		server.TLSConfig = f.conf.TLS.Clone() // net/http writes to it
	}
	return server
}

func (f *Front) newQUICServer(base context.Context, e *quicEndpoint) *http3.Server {
	return &http3.Server{
		Handler:        http.HandlerFunc(f.serveHTTP),
		MaxHeaderBytes: headSlack * f.conf.Limits.RequestHead,
		IdleTimeout:    f.conf.Limits.IdleTime,
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context {
			// The drain's end must reach streams too; when the connection
			// ends, base must forget it.
			ctx, cancel := context.WithCancel(ctx)
			forget := context.AfterFunc(base, cancel)
			context.AfterFunc(c.Context(), func() { forget(); cancel() })
			return context.WithValue(ctx, connKey{}, &connInfo{
				client: addrPort(c.RemoteAddr()),
				local:  addrPort(e.conn.LocalAddr()),
			})
		},
	}
}

// connKey finds a connection's connInfo in the contexts of its requests;
// net/http gives no other way from a request to its connection.
type connKey struct{}

// connInfo is what the requests of one connection share.
type connInfo struct {
	// Static after the connection was accepted.
	client, local netip.AddrPort
	shared        exchange.Conn
	tcp           *conn // nil over QUIC

	// Set by the first request: the handshake is over by then.
	once sync.Once
	tls  *exchange.TLS
}

func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, &connInfo{
		client: addrPort(c.RemoteAddr()),
		local:  addrPort(c.LocalAddr()),
		tcp:    below(c),
	})
}

// serveHTTP is one exchange: in as an exchange.Request, out through writer.
func (f *Front) serveHTTP(w http.ResponseWriter, hr *http.Request) {
	f.inflight.begin()
	defer f.inflight.end()
	info := hr.Context().Value(connKey{}).(*connInfo)
	wr := newWriter(f, w, hr)
	f.conf.Handler.ServeExchange(hr.Context(), wr, f.request(wr, hr, info))
	wr.finish()
	if wr.aborted {
		panic(http.ErrAbortHandler)
	}
}
