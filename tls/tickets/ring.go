// Package tickets derives the keys with which nodes recognise clients they
// have met before: session ticket keys of a site, the key of QUIC address
// tokens and the key of QUIC stateless resets. All come from one secret, so
// nodes that share it accept each other's. The package does no I/O, keeps
// no clock and never sets a key on anything.
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

	minEpoch = time.Minute
)

// Config is what New needs. The zero value is a ring of this process alone.
type Config struct {
	// Secret is shared by all nodes that accept each other's tickets: at
	// least MinSecret random bytes. Whoever learns it can open the TLS 1.2
	// sessions and the QUIC early data of every site. Nil means a random
	// one, lost when the process ends.
	Secret []byte
	// Epoch is how long one ticket key seals new tickets, at least a
	// minute; 0 means DefaultEpoch. Nodes that share the secret must agree.
	// A ticket can be used for one to two epochs.
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
	current := uint64(r.number(now))
	keys := make([][32]byte, 0, 3)
	for _, epoch := range []uint64{current, current + 1, current - 1} {
		salt := binary.BigEndian.AppendUint64(nil, epoch)
		keys = append(keys, r.derive(salt, "landfall session ticket "+site))
	}
	return keys
}

// Rotation returns the first moment after now at which Keys changes.
func (r *Ring) Rotation(now time.Time) time.Time {
	return time.Unix(0, (r.number(now)+1)*int64(r.epoch))
}

func (r *Ring) number(now time.Time) int64 { return now.UnixNano() / int64(r.epoch) }

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
