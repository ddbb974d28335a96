package http3

import (
	"errors"
	"fmt"
	"io"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/landfall-cdn/landfall/internal/limits"
)

// The types of unidirectional streams (RFC 9114, 6.2; RFC 9204, 4.2).
const (
	streamControl = 0x0
	streamPush    = 0x1
	streamEncoder = 0x2
	streamDecoder = 0x3
)

// The settings that we send or check (RFC 9114, 7.2.4.1; RFC 9204, 5;
// RFC 9220, 3; RFC 9297, 2.1.1).
const (
	settingTableCapacity   = 0x1
	settingMaxSection      = 0x6
	settingBlockedStreams  = 0x7
	settingExtendedConnect = 0x8
	settingDatagram        = 0x33
)

const (
	// settingsSize is the longest SETTINGS frame that is read, in bytes.
	settingsSize = 1 << 10
	// settingsMany is how many settings it may hold.
	settingsMany = 64
	// sectionFieldCost is what RFC 9114, 4.2.2, counts for a field beside
	// its bytes.
	sectionFieldCost = 32
)

// appendControlStart appends what our control stream begins with. No
// dynamic table means that no client can make us keep or wait for anything
// while we decode.
func appendControlStart(dst []byte, lim *limits.Limits) []byte {
	var settings []byte
	for _, s := range []struct{ id, value uint64 }{
		{settingTableCapacity, 0},
		{settingMaxSection, uint64(lim.RequestHead + lim.RequestURI + sectionFieldCost*lim.RequestFields)},
		{settingBlockedStreams, 0},
		{settingExtendedConnect, 1},
	} {
		settings = quicvarint.Append(quicvarint.Append(settings, s.id), s.value)
	}
	dst = append(dst, streamControl, frameSettings)
	return append(quicvarint.Append(dst, uint64(len(settings))), settings...)
}

// openControl opens our control stream.
func (c *Conn) openControl() (*quic.SendStream, error) {
	s, err := c.qc.OpenUniStream()
	if err != nil {
		c.close(codeStreamCreationError, "no unidirectional stream may be opened (RFC 9114, 6.2)")
		return nil, fmt.Errorf("open the control stream: %w", err)
	}
	if _, err := s.Write(c.server.settings); err != nil {
		return nil, fmt.Errorf("send the settings: %w", err)
	}
	return s, nil
}

// acceptControl accepts the client's unidirectional streams until the
// connection is over. Those in early data may wait for the handshake.
func (c *Conn) acceptControl() {
	select {
	case <-c.shaken:
		handshakeDone(c.qc.Context())
	case <-c.qc.Context().Done():
		return
	}
	for {
		s, err := c.qc.AcceptUniStream(c.ctx)
		if err != nil {
			return
		}
		c.tasks.Go(func() { c.follow(s) })
	}
}

// receiver is what a unidirectional stream needs of a *quic.ReceiveStream.
type receiver interface {
	io.Reader
	CancelRead(quic.StreamErrorCode)
}

// follow reads a unidirectional stream to its end.
func (c *Conn) follow(s receiver) {
	err := c.readControl(s)
	var f failure
	if errors.As(err, &f) {
		c.close(f.code, f.why)
	}
}

// readControl reads a unidirectional stream of any type. A failure is the
// end of the connection; any other error is of no interest.
func (c *Conn) readControl(s receiver) error {
	in := &input{src: s, lean: true}
	typ, err := in.varint()
	if err != nil {
		return c.charge() // its end may come before its type (RFC 9114, 6.2)
	}
	switch typ {
	case streamControl:
		if c.following.Swap(true) {
			return fatal(codeStreamCreationError, "a second control stream")
		}
		return critical((&controlReader{c: c, in: in}).read())
	case streamEncoder:
		if c.encoding.Swap(true) {
			return fatal(codeStreamCreationError, "a second encoder stream")
		}
		return critical(c.readEncoder(in))
	case streamDecoder:
		if c.decoding.Swap(true) {
			return fatal(codeStreamCreationError, "a second decoder stream")
		}
		return critical(c.readDecoder(in))
	case streamPush:
		return fatal(codeStreamCreationError, "a push stream from a client")
	}
	s.CancelRead(quicCode(codeStreamCreationError))
	return c.charge()
}

// critical is what the end of a critical stream means, whichever way it
// ended (RFC 9114, 6.2.1).
func critical(err error) error {
	if err == io.EOF || wasReset(err) {
		return fatal(codeClosedCriticalStream, "a critical stream was closed")
	}
	return err
}

// controlReader reads the client's control stream.
type controlReader struct {
	c  *Conn
	in *input

	maxPush    uint64 // the highest push ID allowed, plus 1; 0: none yet
	goneAway   bool   // GOAWAY has come
	lastPushID uint64 // of GOAWAY
}

func (r *controlReader) read() error {
	typ, length, err := r.in.header()
	switch {
	case err != nil:
		return err
	case typ != frameSettings:
		return fatal(codeMissingSettings, "a control stream that does not begin with SETTINGS")
	}
	if err := r.settings(length); err != nil {
		return err
	}
	for {
		typ, length, err := r.in.header()
		if err != nil {
			return err
		}
		if err := r.c.charge(); err != nil {
			return err
		}
		if err := r.frame(typ, length); err != nil {
			return err
		}
	}
}

func (r *controlReader) settings(length uint64) error {
	if length > settingsSize {
		return fatal(codeExcessiveLoad, "SETTINGS over the limit")
	}
	b, err := r.in.gather(int(length))
	if err != nil {
		return err
	}
	err = checkSettings(b)
	if r.in.r == r.in.w {
		r.in.release()
	}
	return err
}

// checkSettings refuses settings that RFC 9114, 7.2.4, forbids. None changes
// what we send: no dynamic table, no push, no datagrams.
func checkSettings(b []byte) error {
	seen := make([]uint64, 0, 8)
	for len(b) > 0 {
		id, n, err := quicvarint.Parse(b)
		if err != nil {
			return fatal(codeFrameError, "SETTINGS end within a setting")
		}
		value, m, err := quicvarint.Parse(b[n:])
		if err != nil {
			return fatal(codeFrameError, "SETTINGS end within a setting")
		}
		b = b[n+m:]
		for _, other := range seen {
			if id == other {
				return fatal(codeSettingsError, "a setting twice")
			}
		}
		if seen = append(seen, id); len(seen) > settingsMany {
			return fatal(codeExcessiveLoad, "SETTINGS over the limit")
		}
		switch {
		case id >= 2 && id <= 5:
			return fatal(codeSettingsError, "a setting of HTTP/2")
		case (id == settingExtendedConnect || id == settingDatagram) && value > 1:
			return fatal(codeSettingsError, "a setting that is neither 0 nor 1")
		}
	}
	return nil
}

// frame takes a frame after SETTINGS.
func (r *controlReader) frame(typ, length uint64) error {
	switch typ {
	case frameData, frameHeaders, framePushPromise, frameSettings:
		return fatal(codeFrameUnexpected, "a frame that has no place on a control stream")
	case frameCancelPush, frameGoAway, frameMaxPushID:
		return r.number(typ, length)
	case framePriorityRequest, framePriorityPush:
		return r.priority(typ, length)
	}
	if fromHTTP2(typ) {
		return fatal(codeFrameUnexpected, "a frame of HTTP/2")
	}
	return r.skip(length)
}

// skip drops a frame, or its rest, at the price of a control frame for
// every 4 KiB.
func (r *controlReader) skip(length uint64) error {
	for length > 0 {
		part := min(length, contentUnit)
		if _, err := r.in.skip(part); err != nil {
			return err
		}
		if length -= part; length > 0 {
			if err := r.c.charge(); err != nil {
				return err
			}
		}
	}
	return nil
}

// number takes a frame that holds one integer.
func (r *controlReader) number(typ, length uint64) error {
	if length == 0 || length > maxVarint {
		return fatal(codeFrameError, "a frame of the wrong length")
	}
	b, err := r.in.gather(int(length))
	if err != nil {
		return err
	}
	v, n, err := quicvarint.Parse(b)
	if err != nil || n != len(b) {
		return fatal(codeFrameError, "a frame of the wrong length")
	}
	switch {
	case typ == frameCancelPush:
		return fatal(codeIDError, "a push that was never promised")
	case typ == frameMaxPushID && v+1 < r.maxPush:
		return fatal(codeIDError, "a lower MAX_PUSH_ID")
	case typ == frameMaxPushID:
		r.maxPush = v + 1
	case r.goneAway && v > r.lastPushID:
		return fatal(codeIDError, "a GOAWAY with a higher ID")
	default:
		r.goneAway, r.lastPushID = true, v
	}
	return nil
}

// priority takes a PRIORITY_UPDATE (RFC 9218, 7.2), of which only the
// element is checked: QUIC's scheduler shares alike.
func (r *controlReader) priority(typ, length uint64) error {
	if length == 0 {
		return fatal(codeFrameError, "an empty PRIORITY_UPDATE")
	}
	b, err := r.in.gather(1)
	if err != nil {
		return err
	}
	first := b[0]
	size := uint64(1) << (first >> 6)
	if size > length {
		return fatal(codeFrameError, "PRIORITY_UPDATE ends within its element")
	}
	id := uint64(first & 0x3f)
	if b, err = r.in.gather(int(size - 1)); err != nil {
		return err
	}
	for _, c := range b {
		id = id<<8 | uint64(c)
	}
	if typ == framePriorityPush || id%streamStep != 0 {
		return fatal(codeIDError, "a priority for something that is no request")
	}
	return r.skip(length - size)
}
