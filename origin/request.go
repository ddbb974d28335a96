package origin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/landfall-cdn/landfall/edge/exchange"
	"github.com/landfall-cdn/landfall/internal/ascii"
)

// webSocket is the one protocol that a request of any version may switch
// to; others pass only as HTTP/1.1's own Upgrade.
const webSocket = "websocket"

var (
	errNoTunnel    = errors.New("CONNECT without a protocol to switch to")
	errUpgradeBody = errors.New("a request that upgrades must not have a body")
	errH2C         = errors.New("h2c is never forwarded")
	errTarget      = errors.New("request target does not begin with /")
)

// check refuses what must not reach an endpoint in any form.
func check(r *exchange.Request) error {
	switch {
	case r.Upgrade == "" && r.Method == http.MethodConnect:
		return errNoTunnel
	case r.Upgrade != "" && r.Body != nil && r.Length != 0:
		return errUpgradeBody
	case ascii.EqualFold(r.Upgrade, "h2c"):
		return errH2C
	case !strings.HasPrefix(r.Path, "/") && r.Path != "*":
		return errTarget
	}
	return nil
}

// outgoing builds the request for an endpoint. body is nil when there is
// none.
func (o *Origin) outgoing(ctx context.Context, ep *endpoint, r *exchange.Request, body *upload) *http.Request {
	host := ep.conf.Host
	if host == "" {
		host = r.Authority()
	}
	hr := &http.Request{
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Method:     r.Method,
		Host:       host,
		URL:        targetURL(ep.conf.URL, host, r),
		Header:     o.fields(r, body != nil),
	}
	if r.Upgrade != "" {
		// An extended CONNECT becomes the GET of RFC 6455.
		hr.Method = http.MethodGet
		hr.Header["Connection"] = []string{"Upgrade"}
		hr.Header["Upgrade"] = []string{r.Upgrade}
	}
	if body != nil {
		hr.Body, hr.ContentLength = body, r.Length
		hr.Trailer = requestTrailers(r)
		if r.Length < 0 || hr.Trailer != nil {
			// Said outright, or net/http would wait for the first byte of
			// a GET's body to see whether there is one.
			hr.ContentLength, hr.TransferEncoding = -1, []string{"chunked"}
		}
	} else if idempotent(r.Method) && !r.Header.Has("idempotency-key") {
		// Tells net/http, and nobody else, that the request may be sent
		// again when a kept connection was dead; it knows of safe methods
		// only. Whether it really is, gotConn decides.
		hr.Header["Idempotency-Key"] = []string{}
	}
	return hr.WithContext(ctx)
}

// targetURL makes net/url give back path and query exactly as they came.
// URL.Opaque does, but for a path that begins with "//", which it would
// take for an authority. Such a path goes by RawPath if that accepts it,
// and else in absolute-form, which every server must accept
// (RFC 9112, 3.2.2) and which HTTP/2 turns back into the path.
func targetURL(base *url.URL, host string, r *exchange.Request) *url.URL {
	u := &url.URL{Scheme: base.Scheme, Host: base.Host}
	if r.Query != "" {
		u.RawQuery = r.Query[1:]
		u.ForceQuery = true
	}
	if !strings.HasPrefix(r.Path, "//") {
		u.Opaque = r.Path
		return u
	}
	if path, err := url.PathUnescape(r.Path); err == nil {
		u.Path, u.RawPath = path, r.Path
		if u.EscapedPath() == r.Path {
			return u
		}
	}
	u.Opaque = "//" + host + r.Path
	return u
}

// fields returns what goes on of a request's fields, and ours.
func (o *Origin) fields(r *exchange.Request, hasBody bool) http.Header {
	drop := r.Header.Nominated()
	out := make(http.Header, len(r.Header)+8)
	for _, f := range r.Header {
		switch {
		case exchange.HopByHop(f.Name), ours(f.Name), slices.Contains(drop, f.Name):
		case override[f.Name] && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		case f.Name == "expect" && (!hasBody || !ascii.EqualFold(f.Value, "100-continue")):
		case f.Name == "cookie" && out["Cookie"] != nil:
			// HTTP/2 and HTTP/3 may split it, HTTP/1.1 may not
			// (RFC 9113, 8.2.3).
			out["Cookie"][0] += "; " + f.Value
		default:
			name := textproto.CanonicalMIMEHeaderKey(f.Name)
			out[name] = append(out[name], f.Value)
		}
	}
	if out["User-Agent"] == nil {
		// The way to tell net/http not to send its own.
		out["User-Agent"] = []string{""}
	}
	for coding := range r.Header.Members("te") {
		if ascii.EqualFold(coding, "trailers") {
			out["Te"] = []string{"trailers"}
		}
	}
	if r.Upgrade == webSocket && out["Sec-Websocket-Key"] == nil {
		out["Sec-Websocket-Key"] = []string{newKey()}
	}
	o.introduce(r, func(name, value string) { out[name] = []string{value} })
	return out
}

// newKey makes the nonce of RFC 6455, 4.1, for a client that came by
// extended CONNECT and so has none.
func newKey() string {
	var nonce [16]byte
	rand.Read(nonce[:]) //nolint:errcheck // never fails, as documented
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// requestTrailers returns the trailer fields that a request announces and
// that may pass, without values yet; nil when there are none. Those that
// it does not announce are dropped: net/http must know the names before
// the body.
func requestTrailers(r *exchange.Request) http.Header {
	if r.Trailer == nil {
		return nil
	}
	var out http.Header
	for name := range r.Header.Members("trailer") {
		if exchange.Trailable(strings.ToLower(name)) {
			if out == nil {
				out = make(http.Header)
			}
			out[textproto.CanonicalMIMEHeaderKey(name)] = nil
		}
	}
	return out
}

// fillTrailers gives the announced fields their values, once the body was
// read to its end.
func fillTrailers(announced http.Header, r *exchange.Request) {
	if len(announced) == 0 {
		return
	}
	for _, f := range r.Trailer() {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if _, ok := announced[name]; ok && exchange.Trailable(f.Name) {
			announced[name] = append(announced[name], f.Value)
		}
	}
}

// idempotent follows RFC 9110, 9.2.2.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}
