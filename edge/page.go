package edge

import (
	"fmt"
	"net/http"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// page answers with a short page of our own. The request's id on it is
// what a visitor can quote and an operator can find in the access log.
func (x *passage) page(status int, h exchange.Header) {
	text := http.StatusText(status)
	body := fmt.Sprintf("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%d %s</title></head>\n"+
		"<body><h1>%d %s</h1>%s<p>Request <code>%s</code> at %s.</p></body></html>\n",
		status, text, status, text, explanation(status), x.r.ID, x.r.Arrived.UTC().Format(http.TimeFormat))
	h.Add("content-type", "text/html; charset=utf-8")
	if status >= http.StatusBadRequest {
		h.Add("cache-control", "no-store")
	}
	x.write(status, h, body)
}

func explanation(status int) string {
	switch status {
	case http.StatusMisdirectedRequest:
		return "<p>This site is not served on this connection.</p>"
	case http.StatusBadGateway:
		return "<p>The site's origin did not give a proper answer.</p>"
	case http.StatusServiceUnavailable:
		return "<p>The site's origin cannot take more requests now.</p>"
	case http.StatusGatewayTimeout:
		return "<p>The site's origin did not answer in time.</p>"
	case http.StatusLoopDetected:
		return "<p>This request has been here before: the site's origin leads back to this network.</p>"
	}
	return ""
}

// write sends a small response of our own.
func (x *passage) write(status int, h exchange.Header, body string) {
	h.Add("server", Name)
	if err := x.head(status, x.own(h), int64(len(body))); err != nil {
		_ = x.gone(err)
		return
	}
	if x.r.Method == http.MethodHead {
		return
	}
	n, err := x.w.Write([]byte(body))
	x.sent += int64(n)
	if err != nil {
		_ = x.gone(err)
	}
}
