package sessions

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"

	"github.com/landfall-cdn/landfall/affinity"
)

const (
	// MaxEndpoint is the length of the longest name of an endpoint that a
	// cookie carries, in bytes.
	MaxEndpoint = 64
	// MaxCookie is the length of the longest value that Seal makes, in
	// bytes.
	MaxCookie = (maxSealed*8 + 5) / 6
)

// The layout of a cookie: version, owner, id, endpoint, seal. The endpoint
// is what is between the others, which have a fixed size.
const (
	version   = 1
	idAt      = 2
	nameAt    = idAt + 8
	sealSize  = 16
	minSealed = nameAt + sealSize
	maxSealed = minSealed + MaxEndpoint
)

// encoding has one spelling for each value: what is not that is forged.
var encoding = base64.RawURLEncoding.Strict()

// Cookie is what a cookie of ours says of a client's session. The client
// can read it, and cannot change it.
type Cookie struct {
	// Owner is the node that had the session when the cookie was made.
	Owner affinity.NodeID
	// Endpoint names the origin's endpoint that the session is on. A name
	// longer than MaxEndpoint is left out of the cookie.
	Endpoint string
	// ID is the session's, at random.
	ID [8]byte
	// Aging is set by Open for a cookie that was sealed with the last of the
	// keys, which is the next to go: it is time for a new one. Seal does not
	// look at it.
	Aging bool
}

// NewCookie returns the cookie of a session that begins, still without an
// owner and an endpoint.
func NewCookie() Cookie {
	var c Cookie
	_, _ = rand.Read(c.ID[:]) // documented never to fail
	return c
}

// Session returns the value that names the session, in the way of
// Affinity.Value.
func (c *Cookie) Session() string { return hex.EncodeToString(c.ID[:]) }

// Seal returns the value of a cookie of a site, sealed with the first of
// keys, of which there is at least one. The cookie has an owner. The value
// consists of letters, digits, "-" and "_".
func Seal(keys [][32]byte, site string, c Cookie) string {
	b := make([]byte, 0, maxSealed)
	b = append(b, version, byte(c.Owner))
	b = append(b, c.ID[:]...)
	if len(c.Endpoint) <= MaxEndpoint {
		b = append(b, c.Endpoint...)
	}
	return encoding.EncodeToString(append(b, seal(&keys[0], site, b)...))
}

// Open returns what the value of a cookie says. It reports false for one
// that none of keys has sealed for this site.
func Open(keys [][32]byte, site, value string) (Cookie, bool) {
	if len(value) > MaxCookie {
		return Cookie{}, false
	}
	b, err := encoding.DecodeString(value)
	if err != nil || len(b) < minSealed || b[0] != version || b[1] == 0 ||
		encoding.EncodedLen(len(b)) != len(value) { // the decoder passes line breaks over
		return Cookie{}, false
	}
	said, sealed := b[:len(b)-sealSize], b[len(b)-sealSize:]
	for i := range keys {
		if hmac.Equal(sealed, seal(&keys[i], site, said)) {
			return Cookie{
				Owner: affinity.NodeID(b[1]), Endpoint: string(said[nameAt:]),
				ID: [8]byte(said[idAt:nameAt]), Aging: i > 0 && i == len(keys)-1,
			}, true
		}
	}
	return Cookie{}, false
}

// seal binds what a cookie says to a site. No site's name has the zero byte
// that ends it here.
func seal(key *[32]byte, site string, said []byte) []byte {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte("landfall session cookie\x00" + site + "\x00")) // a hash's Write never fails
	m.Write(said)
	return m.Sum(nil)[:sealSize]
}
