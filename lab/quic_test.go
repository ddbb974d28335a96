package lab

import (
	"context"
	"crypto/tls"

	"github.com/quic-go/quic-go"
)

// dialQUIC reaches the node whatever the name in the URL.
func (n *node) dialQUIC(ctx context.Context, _ string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
	return quic.DialAddrEarly(ctx, n.https, tlsConf, conf)
}
