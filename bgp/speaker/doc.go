// Package speaker speaks BGP in a process of its own. Client is the half
// in the data plane: it starts the process, supervises it and renews its
// lease. Serve is the process: it announces what the orders on its
// standard input say for as long as they keep coming, so that a data
// plane that hangs or dies takes its announcements along. No lease, no
// announcement.
//
// The package owns that protocol, the process and its sessions. It never
// decides what to announce, and it takes no route from a router. It is
// the only importer of GoBGP, which the files gobgp*.go hide.
package speaker
