package cache

import (
	"slices"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// Rough sizes of what Go keeps beside the bytes of an entry.
const (
	fieldOverhead    = 32  // a Field
	variantOverhead  = 512 // a variant, its body and their headers
	resourceOverhead = 256 // a resource and its node in the store
)

// variant is one stored response. It is immutable, and may be in use
// after it left the store; only its body may still be landing.
type variant struct {
	validity
	selection selection
	status    int
	header    exchange.Header // as stored: no age
	body      *body
	memo      exchange.Memo
}

// validators returns the fields that ask the origin whether the response
// still holds; both are "" when it cannot be asked.
func (v *variant) validators() (etag, lastModified string) {
	return v.header.Get("etag"), v.header.Get("last-modified")
}

func (v *variant) canValidate() bool {
	etag, lastModified := v.validators()
	return etag != "" || lastModified != ""
}

// encodings is how many more times the fields are kept: as they are served,
// and as each HTTP version writes them.
const encodings = 4

// weight is what the variant takes of the store, in bytes.
func (v *variant) weight() int64 {
	n := variantOverhead + v.body.held
	for _, f := range v.header {
		n += int64(2*fieldOverhead + (1+encodings)*(len(f.Name)+len(f.Value)))
	}
	for i, c := range v.selection.values {
		n += int64(2*fieldOverhead + len(v.selection.names[i]) + len(c.raw) + len(c.normal))
	}
	return n
}

// resource is what the store has under one key: the variants, the one
// stored last in front. It is immutable and swapped whole. It holds a
// reference of each variant's body, which the store gives up when it
// drops the resource.
type resource struct {
	variants []*variant
	weight   int64
}

// newResource takes a reference of each body.
func newResource(variants []*variant) *resource {
	r := &resource{variants: variants, weight: resourceOverhead}
	for _, v := range variants {
		v.body.retain()
		r.weight += v.weight()
	}
	return r
}

// drop gives the references up.
func (r *resource) drop() {
	for _, v := range r.variants {
		v.body.release()
	}
}

// find returns the variant that a request selects (RFC 9111, 4.1): of
// several the one stored last. A nil resource has none.
func (r *resource) find(req exchange.Header) *variant {
	if r == nil {
		return nil
	}
	a := asked{header: req}
	for _, v := range r.variants {
		if v.selection.fitsAsked(&a) {
			return v
		}
	}
	return nil
}

// names returns the fields that the variant stored last was selected by:
// the best guess at what the next response will vary on.
func (r *resource) names() []string {
	if r == nil || len(r.variants) == 0 {
		return nil
	}
	return r.variants[0].selection.names
}

// newerThan reports whether r has a variant, other than old, that stands
// for the same requests as v and came later. Fills of one key may overlap,
// and the one that ends last is not always the one that was answered last.
func (r *resource) newerThan(v, old *variant) bool {
	return r != nil && slices.ContainsFunc(r.variants, func(o *variant) bool {
		return o != old && o.selection.same(&v.selection) && o.received.After(v.received)
	})
}

// with returns the variants with v in front, in the place of old and of
// any that the same requests select; those over maxCount or maxWeight are
// left out from the end. A nil resource has none.
func (r *resource) with(v, old *variant, maxCount int, maxWeight int64) (list []*variant, left int) {
	list = append(list, v)
	if r == nil {
		return list, 0
	}
	weight := resourceOverhead + v.weight()
	for _, o := range r.variants {
		if o == old || o.selection.same(&v.selection) {
			continue
		}
		weight += o.weight()
		if len(list) == maxCount || weight > maxWeight {
			left++
			continue
		}
		list = append(list, o)
	}
	return list, left
}

// without returns the variants but for old.
func (r *resource) without(old *variant) []*variant {
	return slices.DeleteFunc(slices.Clone(r.variants), func(v *variant) bool { return v == old })
}
