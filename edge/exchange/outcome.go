package exchange

// Outcome says in one word what became of a request. The same word stands
// in the access record and in metrics.
type Outcome uint8

// The outcomes, from the cheapest to the most expensive.
const (
	Refused     Outcome = iota // answered by admission: malformed, over a limit, no such site
	Synthetic                  // answered by the edge itself: a redirect, an ACME challenge
	Hit                        // a fresh stored response
	Stale                      // a stale stored response, allowed by stale-while-revalidate or stale-if-error
	Revalidated                // a stored response that the origin confirmed with 304
	Coalesced                  // joined a fill that another request had started
	Miss                       // filled, and stored or tried to
	Pass                       // filled without the cache taking part
	Tunnel                     // switched protocols
	Failed                     // no response could be had
	NumOutcomes
)

// String returns the word.
func (o Outcome) String() string {
	return [...]string{
		"refused", "synthetic", "hit", "stale", "revalidated", "coalesced",
		"miss", "pass", "tunnel", "failed",
	}[o]
}
