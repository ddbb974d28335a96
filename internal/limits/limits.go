// Package limits names every bound on what a client, a request or an
// origin's response may use, with its default and a counter of how often
// it was met. It decides nothing: the part that enforces a limit reads
// the value, refuses, and calls Hit with the limit's name.
package limits

import (
	"sync/atomic"
	"time"
)

// Limits are the bounds in force. The zero value is not usable; start
// from Default. Every field has one Name.
type Limits struct {
	RequestHead     int `name:"request_head" unit:"bytes" doc:"request line and fields of one request, decoded; over it 431"`
	RequestFields   int `name:"request_fields" unit:"fields" doc:"field lines of one request, cookie crumbs included; over it 431"`
	RequestURI      int `name:"request_uri" unit:"bytes" doc:"request target; over it 414"`
	RequestTrailers int `name:"request_trailers" unit:"bytes" doc:"trailer fields of one request; over it they are dropped (HTTP/1.1: 400)"`
	ChunkOverhead   int `name:"chunk_overhead" unit:"bytes" doc:"chunk sizes and extensions of one request, beyond what chunks of 1 KiB need; over it 400"`
	BodyDrain       int `name:"body_drain" unit:"bytes" doc:"what is read of a request body that nobody wants, to save the HTTP/1.1 connection; over it the connection is closed"`

	HandshakeTime time.Duration `name:"handshake_time" doc:"TLS or QUIC handshake; over it the connection is closed"`
	HeaderTime    time.Duration `name:"header_time" doc:"from the first byte of a request head to its last; over it the connection is closed"`
	IdleTime      time.Duration `name:"idle_time" doc:"between two requests of a connection; over it the connection is closed"`
	BodyStall     time.Duration `name:"body_stall" doc:"grace before min_rate is enforced on a request body or a response being read"`
	MinRate       int           `name:"min_rate" unit:"bytes/s" doc:"slowest request body or response reader after body_stall; under it the exchange is cut"`

	ConnsPerClient int `name:"conns_per_client" unit:"connections" doc:"open connections of one client address (IPv6: one /64); over it new ones are closed"`
	Streams        int `name:"streams" unit:"streams" doc:"concurrent HTTP/2 or HTTP/3 requests of one connection"`
	StreamWindow   int `name:"stream_window" unit:"bytes" doc:"receive window of one HTTP/2 or HTTP/3 stream"`
	ConnWindow     int `name:"conn_window" unit:"bytes" doc:"receive window of one HTTP/2 or HTTP/3 connection"`
	ControlFrames  int `name:"control_frames" unit:"frames" doc:"HTTP/2 or HTTP/3 frames of one connection that move nothing on (PING, SETTINGS, empty DATA, needless WINDOW_UPDATE), beyond one for each request or 4 KiB of content; over it the connection is closed"`
	StreamResets   int `name:"stream_resets" unit:"streams" doc:"streams of one connection that ended by a reset, whoever sent it, beyond those that ended well; over it the connection is closed"`
	HalfOpen       int `name:"half_open" unit:"handshakes" doc:"QUIC handshakes in progress; over it clients must show first that their address is theirs (Retry)"`
	OriginPerConn  int `name:"origin_per_conn" unit:"requests" doc:"requests of one client connection at an origin at once; over it 503"`

	TunnelIdle time.Duration `name:"tunnel_idle" doc:"silence in both directions of a WebSocket; over it the tunnel is closed"`

	ResponseHead    int `name:"response_head" unit:"bytes" doc:"head of an origin's response; over it 502"`
	ResponseInterim int `name:"response_interim" unit:"responses" doc:"1xx responses of an origin to one request; over it 502"`

	ObjectSize     int64 `name:"object_size" unit:"bytes" doc:"largest response that is stored; a larger one passes through"`
	VariantsPerKey int   `name:"variants_per_key" unit:"responses" doc:"stored responses of one key; the least recently stored makes room"`
	KeySize        int   `name:"key_size" unit:"bytes" doc:"cache key; a request with a longer one passes through"`
	Flights        int   `name:"flights" unit:"fills" doc:"fills that the cache runs at once; over it requests pass through"`
	FlightWaiters  int   `name:"flight_waiters" unit:"requests" doc:"requests that wait for one fill; over it they fill for themselves"`

	RelaySilence time.Duration `name:"relay_silence" doc:"how long another node may take to accept a relayed request; over it the request is served without it"`
	RelayStreams int           `name:"relay_streams" unit:"requests" doc:"relayed requests of one other node at once; over it they are refused as busy, and served without this node"`
	RelayWindow  int           `name:"relay_window" unit:"bytes" doc:"receive window of one relayed request or response"`
	RelayDead    time.Duration `name:"relay_dead" doc:"silence of a connection between two nodes; over it the connection is closed and its node counts as unreachable"`

	Sessions    int           `name:"sessions" unit:"sessions" doc:"sessions of affinity that a node remembers to hold, some 40 bytes each; over it those used least recently are forgotten"`
	SessionIdle time.Duration `name:"session_idle" doc:"how long a session is held after its last request; over it the session is forgotten"`

	EndpointConns int `name:"endpoint_conns" unit:"connections" doc:"open connections to one endpoint of an origin; over it requests wait for the connect timeout, then 503"`
}

// Default returns the bounds that hold when an operator says nothing.
func Default() Limits {
	return Limits{
		RequestHead:     32 << 10,
		RequestFields:   100,
		RequestURI:      16 << 10,
		RequestTrailers: 8 << 10,
		ChunkOverhead:   16 << 10,
		BodyDrain:       256 << 10,
		HandshakeTime:   10 * time.Second,
		HeaderTime:      10 * time.Second,
		IdleTime:        60 * time.Second,
		BodyStall:       10 * time.Second,
		MinRate:         250,
		ConnsPerClient:  256,
		Streams:         100,
		StreamWindow:    64 << 10,
		ConnWindow:      1 << 20,
		ControlFrames:   1000,
		StreamResets:    200,
		HalfOpen:        256,
		OriginPerConn:   300,
		TunnelIdle:      time.Hour,
		ResponseHead:    64 << 10,
		ResponseInterim: 16,
		ObjectSize:      64 << 20,
		VariantsPerKey:  64,
		KeySize:         8 << 10,
		Flights:         4096,
		FlightWaiters:   10000,
		RelaySilence:    200 * time.Millisecond,
		RelayStreams:    1024,
		RelayWindow:     256 << 10,
		RelayDead:       1500 * time.Millisecond,
		Sessions:        1_000_000,
		SessionIdle:     30 * time.Minute,
		EndpointConns:   256,
	}
}

// Name is one limit, for counting.
type Name uint8

// The names, in the order of the fields of Limits.
const (
	RequestHead Name = iota
	RequestFields
	RequestURI
	RequestTrailers
	ChunkOverhead
	BodyDrain
	HandshakeTime
	HeaderTime
	IdleTime
	BodyStall
	MinRate
	ConnsPerClient
	Streams
	StreamWindow
	ConnWindow
	ControlFrames
	StreamResets
	HalfOpen
	OriginPerConn
	TunnelIdle
	ResponseHead
	ResponseInterim
	ObjectSize
	VariantsPerKey
	KeySize
	Flights
	FlightWaiters
	RelaySilence
	RelayStreams
	RelayWindow
	RelayDead
	Sessions
	SessionIdle
	EndpointConns
	numNames
)

// Counters counts how often each limit was met. The zero value is ready;
// a nil *Counters counts nothing.
type Counters struct {
	hits [numNames]atomic.Uint64
}

// Hit counts one refusal by n.
func (c *Counters) Hit(n Name) {
	if c != nil {
		c.hits[n].Add(1)
	}
}

// Hits returns how often n was met.
func (c *Counters) Hits(n Name) uint64 { return c.hits[n].Load() }
