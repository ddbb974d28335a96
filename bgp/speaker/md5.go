package speaker

import "net/netip"

// CheckMD5 says why sessions with peer could not be protected with TCP MD5
// (RFC 2385) in this process, nil when they could. It opens a socket for it
// and closes it.
func CheckMD5(peer netip.Addr) error {
	local := netip.IPv6Loopback()
	if peer.Is4() {
		local = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return checkMD5(local, peer, "check")
}
