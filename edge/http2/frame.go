package http2

import "encoding/binary"

// The types of frames (RFC 9113, 6; RFC 9218, 7.1).
const (
	frameData           = 0x0
	frameHeaders        = 0x1
	framePriority       = 0x2
	frameReset          = 0x3
	frameSettings       = 0x4
	framePushPromise    = 0x5
	framePing           = 0x6
	frameGoAway         = 0x7
	frameWindowUpdate   = 0x8
	frameContinuation   = 0x9
	framePriorityUpdate = 0x10
)

// The flags of frames.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// The settings (RFC 9113, 6.5.2; RFC 8441, 3; RFC 9218, 2.1).
const (
	settingHeaderTableSize       = 0x1
	settingEnablePush            = 0x2
	settingStreams               = 0x3
	settingInitialWindow         = 0x4
	settingMaxFrame              = 0x5
	settingMaxHeaderList         = 0x6
	settingConnectProtocol       = 0x8
	settingNoOldPriorities       = 0x9
	settingSize                  = 6
	defaultWindow                = 65535
	defaultHeaderTable           = 4096
	maxWindow              int64 = 1<<31 - 1
)

const (
	preface         = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeaderSize = 9
	// maxFrame is the longest payload, both ways: the default that every
	// peer must take, and that we do not raise.
	maxFrame    = 16 << 10
	maxStreamID = 1<<31 - 1
)

// code is why a stream or a connection ended (RFC 9113, 7).
type code uint32

const (
	noError code = iota
	protocolError
	internalError
	flowControlError
	settingsTimeout
	streamClosed
	frameSizeError
	refusedStream
	canceled
	compressionError
	connectError
	enhanceYourCalm
	inadequateSecurity
	http11Required
	numCodes
)

// String returns the name as RFC 9113 spells it, in lower case.
func (c code) String() string {
	if c >= numCodes {
		return "unknown"
	}
	return [numCodes]string{
		"no_error", "protocol_error", "internal_error", "flow_control_error", "settings_timeout", "stream_closed",
		"frame_size_error", "refused_stream", "cancel", "compression_error", "connect_error", "enhance_your_calm",
		"inadequate_security", "http_1_1_required",
	}[c]
}

// fault is a connection error (RFC 9113, 5.4.1): what GOAWAY says.
type fault struct {
	code code
	text string
}

// Error implements error.
func (f *fault) Error() string { return f.code.String() + ": " + f.text }

// frame is a frame's header.
type frame struct {
	length int
	kind   uint8
	flags  uint8
	stream uint32
}

func (f frame) has(flag uint8) bool { return f.flags&flag != 0 }

// parseFrame reads a frame's header from the first bytes of b.
func parseFrame(b []byte) frame {
	_ = b[frameHeaderSize-1]
	return frame{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		kind:   b[3],
		flags:  b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & maxStreamID,
	}
}

// appendTo appends the header to b.
func (f frame) appendTo(b []byte) []byte {
	return append(b, byte(f.length>>16), byte(f.length>>8), byte(f.length), f.kind, f.flags,
		byte(f.stream>>24), byte(f.stream>>16), byte(f.stream>>8), byte(f.stream))
}

func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

func appendReset(b []byte, id uint32, why code) []byte {
	return appendUint32(frame{4, frameReset, 0, id}.appendTo(b), uint32(why))
}

func appendWindowUpdate(b []byte, id uint32, n int) []byte {
	return appendUint32(frame{4, frameWindowUpdate, 0, id}.appendTo(b), uint32(n))
}

func appendPing(b []byte, flags uint8, data [8]byte) []byte {
	return append(frame{8, framePing, flags, 0}.appendTo(b), data[:]...)
}

func appendGoAway(b []byte, last uint32, why code, text string) []byte {
	b = frame{8 + len(text), frameGoAway, 0, 0}.appendTo(b)
	return append(appendUint32(appendUint32(b, last), uint32(why)), text...)
}

// setting is one entry of a SETTINGS frame.
type setting struct {
	id    uint16
	value uint32
}

func appendSettings(b []byte, settings ...setting) []byte {
	b = frame{settingSize * len(settings), frameSettings, 0, 0}.appendTo(b)
	for _, s := range settings {
		b = appendUint32(binary.BigEndian.AppendUint16(b, s.id), s.value)
	}
	return b
}

// unpad takes the padding off a payload (RFC 9113, 6.1). It is false when
// there is more padding than payload.
func unpad(f frame, p []byte) ([]byte, bool) {
	if !f.has(flagPadded) {
		return p, true
	}
	if len(p) == 0 || int(p[0]) > len(p)-1 {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}
