package configs

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

type unit struct {
	name string
	size uint64 // nanoseconds or bytes
}

// Each table runs from the largest unit to the smallest.
var (
	durationUnits = []unit{
		{"d", uint64(24 * time.Hour)},
		{"h", uint64(time.Hour)},
		{"m", uint64(time.Minute)},
		{"s", uint64(time.Second)},
		{"ms", uint64(time.Millisecond)},
		{"us", uint64(time.Microsecond)},
		{"ns", 1},
	}
	sizeUnits = []unit{
		{"TiB", 1 << 40},
		{"TB", 1e12},
		{"GiB", 1 << 30},
		{"GB", 1e9},
		{"MiB", 1 << 20},
		{"MB", 1e6},
		{"KiB", 1 << 10},
		{"KB", 1e3},
		{"B", 1},
	}
)

// ParseDuration reads a time as documents write it: whole numbers with a
// unit, "60s", "1h30m", "30d". A day has 24 hours. A number alone is
// refused: nobody can tell what it counts.
func ParseDuration(s string) (time.Duration, error) {
	var total uint64
	rest, last := s, -1
	for rest != "" {
		n, unitName, tail, err := quantity(rest)
		if err != nil {
			return 0, fmt.Errorf("%s is not a duration: %w", quoted(s), err)
		}
		if unitName == "" {
			return 0, fmt.Errorf("%s has no unit; write %ds for seconds, or use d, h, m, ms", quoted(s), n)
		}
		i := unitIndex(durationUnits, unitName)
		if i < 0 {
			return 0, fmt.Errorf("%s has the unknown unit %s; units are d, h, m, s, ms, us, ns", quoted(s), quoted(unitName))
		}
		if i <= last {
			return 0, fmt.Errorf("%s has its units out of order; write the largest first, each once", quoted(s))
		}
		hi, part := bits.Mul64(n, durationUnits[i].size)
		sum, carry := bits.Add64(total, part, 0)
		if hi != 0 || carry != 0 || sum > math.MaxInt64 {
			return 0, fmt.Errorf("%s is too long; the longest is 106751d", quoted(s))
		}
		total, rest, last = sum, tail, i
	}
	if last < 0 {
		return 0, errors.New("is empty; write a duration such as 60s, 24h or 30d")
	}
	return time.Duration(total), nil
}

// FormatDuration is the inverse of ParseDuration; d is not negative.
func FormatDuration(d time.Duration) string {
	if d <= 0 {
		return "0s"
	}
	var b strings.Builder
	rest := uint64(d)
	for _, u := range durationUnits {
		if n := rest / u.size; n > 0 {
			b.WriteString(strconv.FormatUint(n, 10) + u.name)
			rest %= u.size
		}
	}
	return b.String()
}

// ParseSize reads a number of bytes as documents write it: one whole
// number with a unit, "256MiB" (1024 based), "1MB" (1000 based), "512B".
func ParseSize(s string) (int64, error) {
	n, unitName, tail, err := quantity(s)
	switch {
	case s == "":
		return 0, errors.New("is empty; write a size such as 256MiB or 10GiB")
	case err != nil:
		return 0, fmt.Errorf("%s is not a size: %w", quoted(s), err)
	case unitName == "":
		return 0, fmt.Errorf("%s has no unit; write %dB for bytes, or use KiB, MiB, GiB", quoted(s), n)
	}
	i := unitIndex(sizeUnits, unitName)
	if i < 0 || tail != "" {
		return 0, fmt.Errorf("%s has an unknown unit; write one number with B, KiB, MiB, GiB, TiB, or KB, MB, GB, TB", quoted(s))
	}
	hi, size := bits.Mul64(n, sizeUnits[i].size)
	if hi != 0 || size > math.MaxInt64 {
		return 0, fmt.Errorf("%s is too large; the largest is 8388607TiB", quoted(s))
	}
	return int64(size), nil
}

// FormatSize is the inverse of ParseSize; n is not negative.
func FormatSize(n int64) string {
	for _, u := range sizeUnits {
		if size := int64(u.size); n >= size && n%size == 0 {
			return strconv.FormatInt(n/size, 10) + u.name
		}
	}
	return "0B"
}

// quantity splits digits and the letters after them off s.
func quantity(s string) (n uint64, unitName, rest string, err error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if digits == 0 {
		return 0, "", "", fmt.Errorf("expected a whole number at %s", quoted(s))
	}
	n, err = strconv.ParseUint(s[:digits], 10, 64)
	if err != nil {
		return 0, "", "", errors.New("the number is too large")
	}
	rest = strings.TrimLeft(s[digits:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if strings.HasPrefix(rest, ".") {
		return 0, "", "", errors.New("fractions are not accepted; use a smaller unit")
	}
	return n, s[digits : len(s)-len(rest)], rest, nil
}

func unitIndex(units []unit, name string) int {
	for i, u := range units {
		if u.name == name {
			return i
		}
	}
	return -1
}

// quoted shows a piece of a document in a message, cut to a length that
// keeps the message readable and free of control bytes.
func quoted(s string) string {
	const most = 64
	if r := []rune(s); len(r) > most {
		return strconv.Quote(string(r[:most])) + "..."
	}
	return strconv.Quote(s)
}
