// Package bfd tells routers within a fraction of a second that this
// process is gone or hangs: single-hop Bidirectional Forwarding Detection
// in asynchronous mode (RFC 5880, RFC 5881), without echo and without
// authentication. It owns the wire format, the session machine, the
// sockets and what is known of each session.
//
// It lives in the process that serves, as that one's silence has to be
// noticed, and it knows nothing of BGP or routes: the router takes the
// routes away, and what it does is what counts. A session that is lost
// at this end is reported and changes nothing else: the router may well
// go on sending, and a BGP session that is reset for it would flap.
package bfd
