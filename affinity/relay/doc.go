// Package relay brings a request to the one other node that is to answer it,
// and carries calls between nodes. It owns the connections between nodes,
// their frames and their flow control, and says who can be reached. It never
// decides which node is asked, never asks on, never tries twice, and knows
// nothing of caches, sessions or origins.
//
// # Connections
//
// A node dials every other: one TCP connection for each direction and peer,
// TLS 1.3 with certificates on both sides, ALPN "landfall-relay/1". Who dials
// asks, who accepts answers. The node at the other end is who its certificate
// says, and a request counts as relayed because it came this way: no field of
// a request can say so.
//
// # Frames
//
// A frame has eight bytes of header: its type (1), the length of its payload
// (3), its stream (4), all big-endian. Payloads are of unsigned varints,
// zigzag varints for what may be negative, and texts with their length in
// front. Each side begins with HELLO: the version, the window of a stream, how
// many streams it serves at once, and the largest head it takes.
//
//	asks                                answers
//	HEAD     a request                  ACCEPT    it is being served
//	CALL     a call                     RESPONSE  the final head
//	GO       begin what is not safe     INTERIM   a 1xx response
//	DATA     a piece of content         DATA      a piece of content
//	LAST     the last piece             LAST      the last piece
//	END      trailer fields             END       trailer fields
//	CANCEL   nobody waits any more      CANCEL    the content is cut short
//	WINDOW   more room                  WINDOW    more room
//	PING     are you there              PONG      yes
//	                                    FAIL      why there is no response
//	                                    DECLINE   ask another
//	                                    REFUSED   not begun: busy, or leaving
//	                                    GOAWAY    no more requests
//
// # What was not done
//
// Whoever asks passes a node by that has neither accepted nor answered within
// limits.RelaySilence. It may have been stopped, and go on later with what it
// finds in its socket. So a request with a method that is not safe, and a
// call, are begun only when GO has come, the answer to ACCEPT; and content is
// read from the client only once the node that accepted has asked for it, by
// the first WINDOW. A request that was not accepted, or was declined, is as it
// was before.
//
// # Memory
//
// Frames carry at most 16 KiB of content, and streams take turns, so that no
// download holds up another request. What a node must keep for one connection
// is bounded: firstWindow of content for each of limits.RelayStreams; budget
// more for streams that are read fast, which get up to limits.RelayWindow
// each; and buffers of less than 1 MiB. A peer that makes more wait to be sent
// than maxQueued loses its connection.
package relay
