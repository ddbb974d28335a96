package origin

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// rendezvous gives each session an endpoint of its own, by weighted
// rendezvous hashing: every node that knows the same endpoints finds the
// same one, without a word between them. A session goes to the endpoint
// that ranks highest for it. When that one fails the next in rank takes
// over, so that only its sessions move; they return when it does.
type rendezvous struct {
	// Static.
	names   []uint64 // hashes of the endpoints' names
	weights []float64
}

func newRendezvous(endpoints []EndpointConfig, weights []int) *rendezvous {
	v := &rendezvous{}
	for i := range endpoints {
		v.names = append(v.names, xxhash.Sum64String(endpoints[i].Name))
		v.weights = append(v.weights, float64(weights[i]))
	}
	return v
}

// first returns the index that ranks highest for a session among those that
// usable admits, -1 when it admits none.
func (v *rendezvous) first(session string, usable func(i int) bool) int {
	h := xxhash.Sum64String(session)
	best, most := -1, 0.0
	for i := range v.names {
		if !usable(i) {
			continue
		}
		if rank := v.rank(h, i); best < 0 || rank > most {
			best, most = i, rank
		}
	}
	return best
}

// rank is -w/ln(u), where u in (0, 1) comes from both hashes: with it an
// endpoint of weight w ranks first for a share of the sessions that is
// proportional to w.
func (v *rendezvous) rank(session uint64, i int) float64 {
	u := (float64(mix(session^v.names[i])>>11) + 0.5) / (1 << 53)
	return -v.weights[i] / math.Log(u)
}

// mix is the finalizer of SplitMix64, which spreads a change of any bit over
// all: two hashes that were only combined by xor would rank endpoints alike.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
