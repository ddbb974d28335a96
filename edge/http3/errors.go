package http3

import (
	"errors"
	"os"

	"github.com/quic-go/quic-go"
)

// code is an error code of HTTP/3 (RFC 9114, 8.1) or QPACK (RFC 9204, 6).
type code uint64

const (
	codeNoError              code = 0x100
	codeGeneralProtocolError code = 0x101
	codeInternalError        code = 0x102
	codeStreamCreationError  code = 0x103
	codeClosedCriticalStream code = 0x104
	codeFrameUnexpected      code = 0x105
	codeFrameError           code = 0x106
	codeExcessiveLoad        code = 0x107
	codeIDError              code = 0x108
	codeSettingsError        code = 0x109
	codeMissingSettings      code = 0x10a
	codeRequestRejected      code = 0x10b
	codeRequestCancelled     code = 0x10c
	codeRequestIncomplete    code = 0x10d
	codeMessageError         code = 0x10e
	codeDecompressionFailed  code = 0x200
	codeEncoderStreamError   code = 0x201
	codeDecoderStreamError   code = 0x202
)

// String returns the name that the RFCs give the code, in lower case: it is
// a metric's label.
func (c code) String() string {
	switch c {
	case codeNoError:
		return "no_error"
	case codeGeneralProtocolError:
		return "general_protocol_error"
	case codeInternalError:
		return "internal_error"
	case codeStreamCreationError:
		return "stream_creation_error"
	case codeClosedCriticalStream:
		return "closed_critical_stream"
	case codeFrameUnexpected:
		return "frame_unexpected"
	case codeFrameError:
		return "frame_error"
	case codeExcessiveLoad:
		return "excessive_load"
	case codeIDError:
		return "id_error"
	case codeSettingsError:
		return "settings_error"
	case codeMissingSettings:
		return "missing_settings"
	case codeRequestRejected:
		return "request_rejected"
	case codeRequestCancelled:
		return "request_cancelled"
	case codeRequestIncomplete:
		return "request_incomplete"
	case codeMessageError:
		return "message_error"
	case codeDecompressionFailed:
		return "qpack_decompression_failed"
	case codeEncoderStreamError:
		return "qpack_encoder_stream_error"
	case codeDecoderStreamError:
		return "qpack_decoder_stream_error"
	}
	return "unknown"
}

// failure is what a client did wrong: the end of a connection, or of a
// stream only.
type failure struct {
	code code
	conn bool
	why  string
}

// Error implements error.
func (f failure) Error() string { return f.code.String() + ": " + f.why }

// fatal is a failure that ends the connection.
func fatal(c code, why string) error { return failure{code: c, conn: true, why: why} }

// broken is a failure that ends the stream.
func broken(c code, why string) error { return failure{code: c, why: why} }

// timedOut reports whether a deadline has passed.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// silent reports whether a connection ended because nothing came any more.
func silent(err error) bool {
	var e *quic.IdleTimeoutError
	return errors.As(err, &e)
}

// wasReset reports whether the client ended the stream by a reset.
func wasReset(err error) bool {
	var e *quic.StreamError
	return errors.As(err, &e) && e.Remote
}
