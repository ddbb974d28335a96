package origin

import (
	"slices"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func passableTrailers(h exchange.Header) exchange.Header {
	return slices.DeleteFunc(h, func(f exchange.Field) bool { return !exchange.Trailable(f.Name) })
}
