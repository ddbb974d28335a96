package http3

import "go.uber.org/zap"

// socketBuffer is how large the buffers of a UDP socket should be, in
// bytes: a burst must find room until it is read. It is what quic-go asks
// for, too.
const socketBuffer = 7 << 20

// socketState is what the kernel gave a socket.
type socketState struct {
	readBuffer, writeBuffer int // bytes
	segmentation            bool
}

// log says what is missing, and what to do about it.
func (s socketState) log(log *zap.Logger) {
	if s.readBuffer < socketBuffer || s.writeBuffer < socketBuffer {
		log.Warn("UDP socket buffers are smaller than HTTP/3 needs under load: raise net.core.rmem_max and net.core.wmem_max, or grant CAP_NET_ADMIN",
			zap.Int("read_bytes", s.readBuffer), zap.Int("write_bytes", s.writeBuffer), zap.Int("wanted_bytes", socketBuffer))
	}
	if !s.segmentation {
		log.Warn("no segmentation offload (UDP_SEGMENT) on this socket: large HTTP/3 responses cost about twice the CPU time; it takes Linux 5.0 or newer, and QUIC_GO_DISABLE_GSO unset")
	}
}
