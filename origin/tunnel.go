package origin

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/ascii"
)

var errClosed = errors.New("the response was closed")

// switched turns a 101 into a tunnel, if it is the switch that was asked
// for.
func (a *attempt) switched(hres *http.Response, fields exchange.Header) (*exchange.Response, *exchange.Error) {
	rwc, ok := hres.Body.(io.ReadWriteCloser)
	err := a.accept(fields)
	if err == nil && !ok {
		err = errors.New("the connection cannot be taken over")
	}
	if err != nil {
		_ = hres.Body.Close()
		a.abandon(err)
		cause := exchange.HTTPUpgradeFailed
		if a.r.Upgrade == "" {
			cause = exchange.HTTPProtocolError
		}
		return nil, a.ep.fault(cause, err)
	}
	t := &tunnel{ReadWriteCloser: rwc, a: a}
	t.stop = context.AfterFunc(a.ctx, func() { _ = t.Close() })
	res := &exchange.Response{
		Status: hres.StatusCode,
		Header: fields.EndToEnd(),
		Body:   http.NoBody,
		Tunnel: t,
	}
	if !a.r.Header.Has("sec-websocket-key") {
		// It answers our key, which the client has never seen.
		res.Header.Del("sec-websocket-accept")
	}
	return res, nil
}

// accept checks a 101 against the request.
func (a *attempt) accept(fields exchange.Header) error {
	switch got := fields.Get("upgrade"); {
	case a.r.Upgrade == "":
		return errors.New("endpoint switches protocols without being asked to")
	case !ascii.EqualFold(got, a.r.Upgrade):
		return fmt.Errorf("endpoint switches to %.40q instead of %q", got, a.r.Upgrade)
	case ascii.EqualFold(got, webSocket) && fields.Get("sec-websocket-accept") != acceptance(a.hr.Header.Get("Sec-Websocket-Key")):
		return errors.New("endpoint's Sec-WebSocket-Accept does not answer the key")
	}
	return nil
}

// acceptance is the answer to a key (RFC 6455, 4.2.2).
func acceptance(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// tunnel is the endpoint's side of a switched connection.
type tunnel struct {
	io.ReadWriteCloser
	a    *attempt
	stop func() bool
	once sync.Once
}

// CloseWrite tells the endpoint that no more comes.
func (t *tunnel) CloseWrite() error {
	if cw, ok := t.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (t *tunnel) Close() error {
	var err error
	t.once.Do(func() {
		t.stop()
		err = t.ReadWriteCloser.Close()
		t.a.abandon(errClosed)
		t.a.ep.met.count(exchange.NoCause)
		t.a.release()
	})
	return err
}
