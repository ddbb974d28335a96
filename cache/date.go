package cache

import (
	"net/http"
	"strings"
	"time"

	"github.com/landfall-cdn/landfall/internal/ascii"
)

var (
	weekdays = [...]string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	months   = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
)

// parseDate reads the three formats of RFC 9110, 5.6.7 and no other. The
// names are taken in any case; time.Parse is not used because it lets
// more pass (other zones, single digits, fractions, runs of spaces).
func parseDate(s string, now time.Time) (time.Time, bool) {
	wd, rest, comma := strings.Cut(s, ",")
	switch {
	case comma && len(wd) == 3 && len(rest) == len(" 06 Nov 1994 08:49:37 GMT"):
		return parseFixdate(wd, rest)
	case comma && len(rest) == len(" 06-Nov-94 08:49:37 GMT"):
		return parseRFC850(wd, rest, now)
	case !comma && len(s) == len("Sun Nov  6 08:49:37 1994"):
		return parseAsctime(s)
	}
	return time.Time{}, false
}

// httpDate writes the first of them.
func httpDate(t time.Time) string { return t.UTC().Format(http.TimeFormat) }

// parseFixdate reads " 06 Nov 1994 08:49:37 GMT" after the weekday.
func parseFixdate(wd, s string) (time.Time, bool) {
	if !isWeekday(wd, 3) || s[0] != ' ' || s[3] != ' ' || s[7] != ' ' || s[12] != ' ' ||
		!ascii.EqualFold(s[21:], " gmt") {
		return time.Time{}, false
	}
	return dateOf(s[8:12], s[4:7], s[1:3], s[13:21], func(y int64) int64 { return y })
}

// parseRFC850 reads " 06-Nov-94 08:49:37 GMT" after the weekday. A year
// that seems more than 50 years ahead is one of the past century.
func parseRFC850(wd, s string, now time.Time) (time.Time, bool) {
	if !isWeekday(wd, len(wd)) || s[0] != ' ' || s[3] != '-' || s[7] != '-' || s[10] != ' ' ||
		!ascii.EqualFold(s[19:], " gmt") {
		return time.Time{}, false
	}
	return dateOf(s[8:10], s[4:7], s[1:3], s[11:19], func(y int64) int64 {
		this := int64(now.Year())
		y += this - this%100
		if y > this+50 {
			y -= 100
		}
		return y
	})
}

// parseAsctime reads "Sun Nov  6 08:49:37 1994".
func parseAsctime(s string) (time.Time, bool) {
	if !isWeekday(s[:3], 3) || s[3] != ' ' || s[7] != ' ' || s[10] != ' ' || s[19] != ' ' {
		return time.Time{}, false
	}
	day := s[8:10]
	if day[0] == ' ' {
		day = day[1:]
	}
	return dateOf(s[20:], s[4:7], day, s[11:19], func(y int64) int64 { return y })
}

// isWeekday reports whether s is the first n letters of a weekday, or all
// of a longer one.
func isWeekday(s string, n int) bool {
	for _, name := range weekdays {
		if n == 3 {
			name = name[:3]
		}
		if ascii.EqualFold(s, name) {
			return true
		}
	}
	return false
}

// dateOf puts the parts together; clock is "08:49:37".
func dateOf(year, month, day, clock string, century func(int64) int64) (time.Time, bool) {
	y, okY := digits(year)
	d, okD := digits(day)
	h, okH := digits(clock[0:2])
	m, okM := digits(clock[3:5])
	s, okS := digits(clock[6:8])
	if !okY || !okD || !okH || !okM || !okS || clock[2] != ':' || clock[5] != ':' ||
		h > 23 || m > 59 || s > 60 {
		return time.Time{}, false
	}
	for i, name := range months {
		if !ascii.EqualFold(month, name) {
			continue
		}
		t := time.Date(int(century(y)), time.Month(i+1), int(d), int(h), int(m), int(s), 0, time.UTC)
		// time.Date carries the 31st of April over to May. Seconds may carry:
		// a leap second is a valid time.
		return t, int64(t.Add(-time.Duration(s)*time.Second).Day()) == d
	}
	return time.Time{}, false
}
