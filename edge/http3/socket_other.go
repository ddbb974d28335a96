//go:build !linux

package http3

import "net"

// tuneSocket leaves the socket to quic-go; what was had is not known.
func tuneSocket(conn *net.UDPConn) socketState {
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	return socketState{readBuffer: socketBuffer, writeBuffer: socketBuffer, segmentation: true}
}
