package exchange

import "net/http"

// Refusal is why a request was not admitted. The word stands in the
// access record and in landfall_refused_total.
type Refusal uint8

// The refusals. A front end gives those that it alone can see, in
// Request.Refused; admission gives the others.
const (
	Admitted      Refusal = iota
	BadRequest            // no request line or field line that all readers read alike
	BadVersion            // an HTTP version that is not spoken here
	BadFraming            // content whose end two readers could see in two places
	BadMethod             // a method that is no token, or is not carried
	BadTarget             // a request target that is malformed or ambiguous
	BadHost               // no authority, several, or a malformed one
	BadField              // a field whose name or value is malformed
	URITooLong            // over limits.RequestURI
	HeadTooLarge          // over limits.RequestHead
	TooManyFields         // over limits.RequestFields
	HeadTooSlow           // over limits.HeaderTime
	BadExpect             // an expectation other than 100-continue
	TooEarly              // not safe to replay, and sent in early data (RFC 8470)
	UnknownSite           // no site has this host
	Misdirected           // the connection was opened for another site
	Loop                  // it has been here before (RFC 8586)
	NumRefusals
)

var refusals = [NumRefusals]struct {
	word   string
	status int
}{
	Admitted:      {"", 0},
	BadRequest:    {"bad_request", http.StatusBadRequest},
	BadVersion:    {"bad_version", http.StatusHTTPVersionNotSupported},
	BadFraming:    {"bad_framing", http.StatusBadRequest},
	BadMethod:     {"bad_method", http.StatusMethodNotAllowed},
	BadTarget:     {"bad_target", http.StatusBadRequest},
	BadHost:       {"bad_host", http.StatusBadRequest},
	BadField:      {"bad_field", http.StatusBadRequest},
	URITooLong:    {"uri_too_long", http.StatusRequestURITooLong},
	HeadTooLarge:  {"head_too_large", http.StatusRequestHeaderFieldsTooLarge},
	TooManyFields: {"too_many_fields", http.StatusRequestHeaderFieldsTooLarge},
	HeadTooSlow:   {"head_too_slow", http.StatusRequestTimeout},
	BadExpect:     {"bad_expect", http.StatusExpectationFailed},
	TooEarly:      {"too_early", http.StatusTooEarly},
	UnknownSite:   {"unknown_site", http.StatusMisdirectedRequest},
	Misdirected:   {"misdirected", http.StatusMisdirectedRequest},
	Loop:          {"loop", http.StatusLoopDetected},
}

// String returns the word.
func (r Refusal) String() string { return refusals[r].word }

// Status returns the status code that a client is answered with.
func (r Refusal) Status() int { return refusals[r].status }
