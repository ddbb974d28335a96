package tickets

import (
	"crypto/ecdh"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/landfall-cdn/landfall/internal/hostname"
	"github.com/landfall-cdn/landfall/internal/must"
)

// ECHEpoch is how long one configuration for encrypted client hellos is
// handed out. It is accepted for one more epoch: DNS records that carry it
// need a TTL below that.
const ECHEpoch = 24 * time.Hour

// Numbers of TLS ECH (RFC 9849, 4) and of HPKE (RFC 9180, 7).
const (
	echVersion    = 0xfe0d
	kemX25519     = 0x0020 // DHKEM(X25519, HKDF-SHA256)
	kdfSHA256     = 0x0001
	aeadAES128GCM = 0x0001
	aeadChaCha20  = 0x0003
	echMaxName    = 64 // names up to this are padded to one length
)

// ECH is the keys for encrypted client hellos under one public name. It is
// safe for concurrent use.
type ECH struct {
	// Static after Ring.ECH.
	ring       *Ring
	publicName string

	// Swapped whole: the keys of the epoch last asked for, as making them
	// costs more than the rest of a hello.
	made atomic.Pointer[echEpoch]
}

type echEpoch struct {
	number int64
	keys   []tls.EncryptedClientHelloKey
	list   []byte
}

// ECH returns the keys under publicName: the server name that the outer,
// readable hello carries, and that needs a site with a certificate, as a
// client with an outdated configuration is told the new one there.
func (r *Ring) ECH(publicName string) (*ECH, error) {
	name, err := hostname.Wire(publicName)
	if err == nil && (name != publicName || !letters(name)) {
		err = errors.New("it has to be a DNS name in lower case")
	}
	if err != nil {
		return nil, fmt.Errorf("public name %q for encrypted client hellos: %w", publicName, err)
	}
	return &ECH{ring: r, publicName: name}, nil
}

// letters tells names from IPv4 addresses, which cannot be public names.
func letters(name string) bool {
	for i := range len(name) {
		if 'a' <= name[i] && name[i] <= 'z' {
			return true
		}
	}
	return false
}

// PublicName returns the name of the outer hello.
func (e *ECH) PublicName() string { return e.publicName }

// Keys returns the keys at a time, for
// tls.Config.GetEncryptedClientHelloKeys: the current epoch's, which
// clients are told to retry with, the next one's, which a node whose clock
// is ahead may hand out already, and the previous one's. Nobody may change
// them.
func (e *ECH) Keys(now time.Time) []tls.EncryptedClientHelloKey { return e.at(now).keys }

// ConfigList returns what clients need at a time: an ECHConfigList, as the
// ech parameter of HTTPS records and tls.Config.EncryptedClientHelloConfigList
// carry it. Nobody may change it.
func (e *ECH) ConfigList(now time.Time) []byte { return e.at(now).list }

// Rotation returns the first moment after now at which ConfigList changes.
func (e *ECH) Rotation(now time.Time) time.Time {
	return time.Unix(0, (number(now, ECHEpoch)+1)*int64(ECHEpoch))
}

func (e *ECH) at(now time.Time) *echEpoch {
	current := number(now, ECHEpoch)
	if made := e.made.Load(); made != nil && made.number == current {
		return made
	}
	fresh := &echEpoch{number: current}
	for i, epoch := range []int64{current, current + 1, current - 1} {
		key := e.key(epoch)
		key.SendAsRetry = i == 0
		fresh.keys = append(fresh.keys, key)
	}
	first := fresh.keys[0].Config
	fresh.list = append(binary.BigEndian.AppendUint16(nil, uint16(len(first))), first...)
	e.made.Store(fresh)
	return fresh
}

func (e *ECH) key(epoch int64) tls.EncryptedClientHelloKey {
	seed := e.ring.derive(salt(epoch), "landfall encrypted client hello "+e.publicName)
	key, err := ecdh.X25519().NewPrivateKey(seed[:])
	must.True(err == nil, "32 bytes are an X25519 key: %v", err)
	return tls.EncryptedClientHelloKey{Config: e.config(byte(epoch), key.PublicKey().Bytes()), PrivateKey: key.Bytes()}
}

// config returns an ECHConfig (RFC 9849, 4). Neighbouring epochs have
// different ids, which lets clients and servers tell their keys apart.
func (e *ECH) config(id byte, public []byte) []byte {
	b := []byte{id}
	b = binary.BigEndian.AppendUint16(b, kemX25519)
	b = binary.BigEndian.AppendUint16(b, uint16(len(public)))
	b = append(b, public...)
	b = binary.BigEndian.AppendUint16(b, 8) // two suites of four bytes
	for _, aead := range []uint16{aeadAES128GCM, aeadChaCha20} {
		b = binary.BigEndian.AppendUint16(b, kdfSHA256)
		b = binary.BigEndian.AppendUint16(b, aead)
	}
	b = append(b, echMaxName, byte(len(e.publicName)))
	b = append(b, e.publicName...)
	b = binary.BigEndian.AppendUint16(b, 0) // no extensions
	c := binary.BigEndian.AppendUint16(nil, echVersion)
	c = binary.BigEndian.AppendUint16(c, uint16(len(b)))
	return append(c, b...)
}
