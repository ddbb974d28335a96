package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"golang.org/x/net/http2"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// stage is how far an exchange with an endpoint had come.
type stage uint8

const (
	connecting  stage = iota // name resolution and connection
	handshaking              // TLS
	asking                   // until the head of the final response
	reading                  // its body
)

var (
	errHeadSize = errors.New("response head is larger than response_head allows")
	errInterims = errors.New("endpoint sent more interim responses than response_interim allows")
)

// prohibitedError says that an address must not be dialled.
type prohibitedError struct{ addr, reason string }

func (e *prohibitedError) Error() string {
	return e.addr + " is " + e.reason + ": allow its range if that is meant"
}

// classify names the cause of an error that an exchange met.
func classify(s stage, err error) exchange.Cause {
	var (
		known      *exchange.Error
		prohibited *prohibitedError
	)
	switch {
	case errors.As(err, &known):
		return known.Cause
	case errors.As(err, &prohibited):
		return exchange.DestinationIPProhibited
	}
	switch s {
	case connecting:
		return classifyDial(err)
	case handshaking:
		return classifyTLS(err)
	case asking:
		return classifyAnswer(err)
	case reading:
	}
	if isTimeout(err) {
		return exchange.ConnectionReadTimeout
	}
	return exchange.HTTPResponseIncomplete
}

func classifyDial(err error) exchange.Cause {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.Timeout():
		return exchange.DNSTimeout
	case dns != nil:
		return exchange.DNSError
	case isTimeout(err):
		return exchange.ConnectionTimeout
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return exchange.ConnectionRefused
	}
	return exchange.DestinationUnavailable
}

func classifyTLS(err error) exchange.Cause {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		op           *net.OpError
	)
	switch {
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid):
		return exchange.TLSCertificateError
	case errors.As(err, &op) && op.Op == "remote error":
		return exchange.TLSAlertReceived
	case isTimeout(err):
		return exchange.ConnectionTimeout
	}
	return exchange.TLSProtocolError
}

func classifyAnswer(err error) exchange.Cause {
	var (
		stream http2.StreamError
		op     *net.OpError
	)
	switch {
	case isTimeout(err):
		return exchange.HTTPResponseTimeout
	case strings.Contains(err.Error(), "header list larger than"):
		// net/http keeps its HTTP/2 errors to itself.
		return exchange.HTTPResponseHeadSize
	case errors.As(err, &stream):
		if stream.Code == http2.ErrCodeProtocol {
			return exchange.HTTPProtocolError
		}
		return exchange.ConnectionTerminated
	case errors.As(err, &op) && op.Op == "remote error":
		// TLS 1.3 refuses a client's certificate only after the handshake.
		return exchange.TLSAlertReceived
	case errors.Is(err, errDetached), errors.Is(err, errPartRead), errors.Is(err, errDiscarded), errors.Is(err, errUnsolicited),
		op != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		strings.Contains(err.Error(), "server closed idle connection"),
		strings.Contains(err.Error(), "GOAWAY"), strings.Contains(err.Error(), "client connection"):
		return exchange.ConnectionTerminated
	}
	return exchange.HTTPProtocolError
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
