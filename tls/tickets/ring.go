// Package tickets derives the keys with which nodes recognise clients they
// have met before: session ticket keys and affinity cookie keys of a site,
// the keys of QUIC address tokens and stateless resets, and those of
// encrypted client hellos. All come from one secret, so nodes that share it
// accept each other's. The package does no I/O, keeps no clock and never
// sets a key on anything.
package tickets

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/landfall-cdn/landfall/internal/must"
)

const (
	// DefaultEpoch is how long one ticket key seals when nothing is said.
	DefaultEpoch = 12 * time.Hour
	// MinSecret is the length of the shortest secret, in bytes.
	MinSecret = 32

	// minEpoch allows what no deployment wants, rotation in front of one's
	// eyes: a short epoch takes resumptions from clients and nothing from
	// anybody's safety. Clocks of nodes may differ by less than an epoch.
	minEpoch = time.Second
)

// Config is what New needs. The zero value is a ring of this process alone.
type Config struct {
	// Secret is shared by all nodes that accept each other's tickets: at
	// least MinSecret random bytes. Whoever learns it can open the TLS 1.2
	// sessions and the QUIC early data of every site. Nil means a random
	// one, lost when the process ends.
	Secret []byte
	// Epoch is how long one ticket key seals new tickets, at least a
	// second; 0 means DefaultEpoch. Nodes that share the secret must agree,
	// and their clocks too, within less than an epoch. A ticket can be used
	// for one to two epochs.
	Epoch time.Duration
}

// Ring derives keys from one secret. It is immutable and safe to share.
type Ring struct {
	secret []byte
	epoch  time.Duration
}

// New returns the ring of c. It keeps a copy of the secret.
func New(c Config) (*Ring, error) {
	if c.Epoch == 0 {
		c.Epoch = DefaultEpoch
	}
	if c.Epoch < minEpoch {
		return nil, fmt.Errorf("ticket epoch %v is too short: use at least %v", c.Epoch, minEpoch)
	}
	if c.Secret == nil {
		return &Ring{secret: randomSecret(), epoch: c.Epoch}, nil
	}
	if len(c.Secret) < MinSecret {
		return nil, fmt.Errorf("ticket secret has %d bytes: use at least %d random bytes", len(c.Secret), MinSecret)
	}
	return &Ring{secret: append([]byte(nil), c.Secret...), epoch: c.Epoch}, nil
}

func randomSecret() []byte {
	b := make([]byte, MinSecret)
	_, _ = rand.Read(b) // documented never to fail
	return b
}

// Keys returns the ticket keys of a site at a time, for
// tls.Config.SetSessionTicketKeys. The first seals and all open: the
// current epoch's, the next one's, so that a node whose clock runs ahead is
// understood, and the previous one's. The site's name is part of each key,
// so a ticket of one site is noise to every other.
func (r *Ring) Keys(site string, now time.Time) [][32]byte {
	return r.byEpoch("landfall session ticket "+site, now)
}

// CookieKey returns the keys of a site's affinity cookies at a time, in the
// order and with the lives of Keys.
func (r *Ring) CookieKey(site string, now time.Time) [][32]byte {
	return r.byEpoch("landfall affinity cookie "+site, now)
}

func (r *Ring) byEpoch(info string, now time.Time) [][32]byte {
	current := number(now, r.epoch)
	keys := make([][32]byte, 0, 3)
	for _, epoch := range []int64{current, current + 1, current - 1} {
		keys = append(keys, r.derive(salt(epoch), info))
	}
	return keys
}

// Rotation returns the first moment after now at which Keys and CookieKey
// change.
func (r *Ring) Rotation(now time.Time) time.Time {
	return time.Unix(0, (number(now, r.epoch)+1)*int64(r.epoch))
}

// number returns the number of the epoch of a given length at now.
func number(now time.Time, epoch time.Duration) int64 { return now.UnixNano() / int64(epoch) }

func salt(epoch int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(epoch)) }

// TokenKey returns the key of QUIC address validation tokens (RFC 9000,
// 8.1.1), for quic.Transport.TokenGeneratorKey. Nodes that share it accept
// each other's Retry tokens.
func (r *Ring) TokenKey() [32]byte { return r.derive(nil, "landfall quic token") }

// ResetKey returns the key of QUIC stateless resets (RFC 9000, 10.3), for
// quic.Transport.StatelessResetKey. Nodes that share it can tell each
// other's clients that a connection is gone.
func (r *Ring) ResetKey() [32]byte { return r.derive(nil, "landfall quic stateless reset") }

func (r *Ring) derive(salt []byte, info string) [32]byte {
	key, err := hkdf.Key(sha256.New, r.secret, salt, info, 32)
	must.True(err == nil, "derive a key: %v", err)
	return [32]byte(key)
}

// String keeps the secret out of logs and state dumps.
func (r *Ring) String() string { return fmt.Sprintf("tickets.Ring(epoch %v)", r.epoch) }

// GoString keeps the secret out of logs and state dumps.
func (r *Ring) GoString() string { return r.String() }
