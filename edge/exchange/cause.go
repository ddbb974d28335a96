package exchange

import "net/http"

// Cause says why no proper response could be had. The names are the
// proxy error types of RFC 9209, section 2.3, and ClientAborted, which
// is ours and never reaches a client.
type Cause uint8

// The causes.
const (
	NoCause Cause = iota
	DNSTimeout
	DNSError
	DestinationUnavailable
	DestinationIPProhibited
	ConnectionRefused
	ConnectionTerminated
	ConnectionTimeout
	ConnectionReadTimeout
	ConnectionLimitReached
	TLSProtocolError
	TLSCertificateError
	TLSAlertReceived
	HTTPRequestError
	HTTPResponseIncomplete
	HTTPResponseHeadSize
	HTTPResponseTimeout
	HTTPUpgradeFailed
	HTTPProtocolError
	ProxyInternalError
	ProxyLoopDetected
	ClientAborted
	NumCauses
)

var causes = [NumCauses]struct {
	token  string
	status int
}{
	NoCause:                 {"", 0},
	DNSTimeout:              {"dns_timeout", http.StatusGatewayTimeout},
	DNSError:                {"dns_error", http.StatusBadGateway},
	DestinationUnavailable:  {"destination_unavailable", http.StatusServiceUnavailable},
	DestinationIPProhibited: {"destination_ip_prohibited", http.StatusBadGateway},
	ConnectionRefused:       {"connection_refused", http.StatusBadGateway},
	ConnectionTerminated:    {"connection_terminated", http.StatusBadGateway},
	ConnectionTimeout:       {"connection_timeout", http.StatusGatewayTimeout},
	ConnectionReadTimeout:   {"connection_read_timeout", http.StatusGatewayTimeout},
	ConnectionLimitReached:  {"connection_limit_reached", http.StatusServiceUnavailable},
	TLSProtocolError:        {"tls_protocol_error", http.StatusBadGateway},
	TLSCertificateError:     {"tls_certificate_error", http.StatusBadGateway},
	TLSAlertReceived:        {"tls_alert_received", http.StatusBadGateway},
	HTTPRequestError:        {"http_request_error", http.StatusBadRequest},
	HTTPResponseIncomplete:  {"http_response_incomplete", http.StatusBadGateway},
	HTTPResponseHeadSize:    {"http_response_header_section_size", http.StatusBadGateway},
	HTTPResponseTimeout:     {"http_response_timeout", http.StatusGatewayTimeout},
	HTTPUpgradeFailed:       {"http_upgrade_failed", http.StatusBadGateway},
	HTTPProtocolError:       {"http_protocol_error", http.StatusBadGateway},
	ProxyInternalError:      {"proxy_internal_error", http.StatusInternalServerError},
	ProxyLoopDetected:       {"proxy_loop_detected", http.StatusLoopDetected},
	ClientAborted:           {"client_aborted", 499},
}

// String returns the token of RFC 9209.
func (c Cause) String() string { return causes[c].token }

// Status returns the status code that a client is answered with.
func (c Cause) Status() int { return causes[c].status }

// Error is the one error type of fillers and of the cache.
type Error struct {
	Cause Cause
	// Endpoint is the address that was tried, "" when none was.
	Endpoint string
	Err      error
}

// Error returns the cause and what lies behind it.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Cause.String()
	}
	return e.Cause.String() + ": " + e.Err.Error()
}

// Unwrap returns what lies behind the cause.
func (e *Error) Unwrap() error { return e.Err }
