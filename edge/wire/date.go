package wire

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Date returns the value of a Date field (RFC 9110, 6.6.1). It formats
// once a second.
func Date(now time.Time) string {
	second := now.Unix()
	if d := date.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &dateText{second: second, text: now.UTC().Format(http.TimeFormat)}
	date.Store(d)
	return d.text
}

type dateText struct {
	second int64
	text   string
}

// date is the text of the newest second that was asked for.
var date atomic.Pointer[dateText]
