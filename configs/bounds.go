package configs

import (
	"reflect"

	"github.com/landfall-cdn/landfall/internal/must"
)

// outside says how x, an integer, a duration or a size, is out of the
// bounds of f; "" when it is not.
func (k *kind) outside(f *field, x any) string {
	v := reflect.ValueOf(x)
	if !v.CanInt() {
		return ""
	}
	low, okLow := k.bound(f.min)
	high, okHigh := k.bound(f.max)
	if okLow && v.Int() < low || okHigh && v.Int() > high {
		return boundsText(f)
	}
	return ""
}

func (k *kind) bound(text string) (int64, bool) {
	if text == "" {
		return 0, false
	}
	x, err := k.parse(text, "")
	must.True(err == nil, "bound %q: %v", text, err)
	return reflect.ValueOf(x).Int(), true
}

// boundsText is the bounds of a field in words, "" when it has none.
func boundsText(f *field) string {
	switch {
	case f.min != "" && f.max != "":
		return f.min + " to " + f.max
	case f.min != "":
		return "at least " + f.min
	case f.max != "":
		return "at most " + f.max
	}
	return ""
}
