// Package load is clients that do what people do, and count what they see:
// new connections that ask for a page, downloads that take seconds, and a
// few flows that ask all the time, so that a gap shows. It owns its
// goroutines and connections. It decides nothing about the network that it
// is let loose on, and never hides what a client had to do by itself: an
// answer that came at the second attempt is counted as such.
package load

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Config is a client, with one address family.
type Config struct {
	// Dial opens a TCP connection; port is the local one, 0 for any. One
	// that is given can be used again as soon as the connection is closed. It
	// is asked from many goroutines.
	Dial func(ctx context.Context, port int, addr netip.AddrPort) (net.Conn, error)
	// ListenPacket opens a UDP socket.
	ListenPacket func() (net.PacketConn, error)
	// Addr is what is connected to, on ports HTTP and HTTPS.
	Addr        netip.Addr
	HTTP, HTTPS uint16
	// Host is asked for; Roots verify its certificate.
	Host  string
	Roots *x509.CertPool
	// Port is the local port of the first flow, those of the others follow,
	// and then those of connections that take the place of one that broke.
	Port int
	// Quick is the path of a small object. Long is the path of one that
	// takes seconds, LongByte its byte at a place, and LongSize its length.
	Quick, Long string
	LongByte    func(at int) byte
	LongSize    int
	Rates
}

// Rates are how much load there is.
type Rates struct {
	// New is how many connections are opened a second for one request each,
	// 0 to MaxNew, by turns with HTTP/1.1, HTTP/2 and HTTP/3.
	New int
	// Downloads run at a time, 0 to MaxDownloads, by turns with the same.
	Downloads int
	// Flows ask for the small object over plain HTTP every FlowPeriod, each
	// on one connection that it keeps, 0 to MaxFlows.
	Flows int
}

// The bounds of Rates.
const (
	MaxNew       = 500
	MaxDownloads = 100
	MaxFlows     = 100
)

const (
	// attemptTime is how long a client waits for the head of an answer.
	attemptTime = 10 * time.Second
	// stallTime is how long a download may be silent before its client takes
	// the connection for dead.
	stallTime = 2 * time.Second
	// retryPause is before a request is sent again. It is how long clients
	// wait before they try another address (RFC 8305, 5).
	retryPause = 250 * time.Millisecond
	// maxResumes is how often one download may be resumed.
	maxResumes = 5
	// maxErrors bounds the errors that a report quotes.
	maxErrors = 5
)

// Report is what the clients saw.
type Report struct {
	// Requests were made, each on a new connection. Retried ones got no
	// byte of an answer at first, and were sent once more on another
	// connection, as browsers do. Failed ones were not answered after that,
	// or wrongly.
	Requests int `json:"requests"`
	Retried  int `json:"retried"`
	Failed   int `json:"failed"`
	// Downloads were started. Resumed is how often one had to go on from
	// where it broke, on another connection, with Range and If-Range. Lost
	// ones did not come to their end, or with wrong bytes.
	Downloads int `json:"downloads"`
	Resumed   int `json:"resumed"`
	Lost      int `json:"lost"`
	// Probes are the requests of flows that were answered. Broken is how
	// often a flow's connection ended or gave no answer in FlowPatience.
	Probes int `json:"probes"`
	Broken int `json:"broken"`
	// Gap is the longest time that a flow was without an answer, from one
	// to the next, less the time in which the client itself did not run.
	Gap time.Duration `json:"gap_ns"`
	// GapAt is when that ended, and GapWas what the flow met in it.
	GapAt  time.Time `json:"gap_at"`
	GapWas []string  `json:"gap_was,omitempty"`
	// Held is the longest time that the client itself did not get to run.
	Held time.Duration `json:"held_ns"`
	// Errors are the first of those behind Failed and Lost.
	Errors []string `json:"errors,omitempty"`
}

// Add puts two reports together.
func (r Report) Add(o Report) Report {
	r.Requests += o.Requests
	r.Retried += o.Retried
	r.Failed += o.Failed
	r.Downloads += o.Downloads
	r.Resumed += o.Resumed
	r.Lost += o.Lost
	r.Probes += o.Probes
	r.Broken += o.Broken
	if o.Gap > r.Gap {
		r.Gap, r.GapAt, r.GapWas = o.Gap, o.GapAt, o.GapWas
	}
	r.Held = max(r.Held, o.Held)
	r.Errors = append(r.Errors[:len(r.Errors):len(r.Errors)], o.Errors...)
	r.Errors = r.Errors[:min(len(r.Errors), maxErrors)]
	return r
}

// Load is clients at work.
type Load struct {
	// Static.
	conf Config
	stop context.CancelFunc // of what is new; what is in progress goes on
	work sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	report Report
	flows  []silence // one for each flow
	// stalled is how long the client did not get to run, in all.
	stalled time.Duration
}

// silence is how long a flow was without an answer, less the time in which
// the client could not have noticed one.
type silence struct {
	last    time.Time     // of the last answer; zero before the first
	stalled time.Duration // Load.stalled at last
	longest time.Duration // since it was taken
	at      time.Time     // when that ended
	was     []string      // what was met in it
}

// Start lets the clients loose until Stop, or until ctx ends everything.
func Start(ctx context.Context, conf Config) (*Load, error) {
	for _, b := range []struct {
		what      string
		have, max int
	}{{"new connections a second", conf.New, MaxNew}, {"downloads", conf.Downloads, MaxDownloads}, {"flows", conf.Flows, MaxFlows}} {
		if b.have < 0 || b.have > b.max {
			return nil, fmt.Errorf("%d %s: expected 0 to %d", b.have, b.what, b.max)
		}
	}
	begin, stop := context.WithCancel(ctx)
	l := &Load{conf: conf, stop: stop, flows: make([]silence, conf.Flows)}
	if conf.New > 0 {
		l.work.Go(func() { l.arrivals(ctx, begin) })
	}
	for i := range conf.Downloads {
		l.work.Go(func() { l.downloads(ctx, begin, i) })
	}
	for i := range conf.Flows {
		l.work.Go(func() { l.flow(begin, i) })
	}
	l.work.Go(func() { l.pulse(begin) })
	return l, nil
}

// Stop begins nothing new, waits for what is in progress, and returns what
// was seen.
func (l *Load) Stop() Report {
	l.stop()
	l.work.Wait()
	l.TakeGap()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

// answered notes that a flow got an answer, and what it met since the last.
func (l *Load) answered(flow int, now time.Time, met []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.flows[flow]
	if gap := l.since(s, now); gap > s.longest {
		s.longest, s.at, s.was = gap, now, slices.Clone(met)
	}
	s.last, s.stalled = now, l.stalled
}

// since needs mu.
func (l *Load) since(s *silence, now time.Time) time.Duration {
	if s.last.IsZero() {
		return 0
	}
	return now.Sub(s.last) - (l.stalled - s.stalled)
}

// TakeGap returns the longest time that a flow was without an answer since
// it was asked before, or since Start. One that still waits counts as it is.
func (l *Load) TakeGap() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest, now := time.Duration(0), time.Now()
	for i := range l.flows {
		s := &l.flows[i]
		longest = max(longest, s.longest, l.since(s, now))
		if s.longest > l.report.Gap {
			l.report.Gap, l.report.GapAt, l.report.GapWas = s.longest, s.at, s.was
		}
		s.longest = 0
	}
	return longest
}

// note changes the report.
func (l *Load) note(change func(*Report)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.report)
}

// failed counts something that went wrong for good.
func (l *Load) failed(count func(*Report), what string, err error) {
	l.note(func(r *Report) {
		count(r)
		if len(r.Errors) < maxErrors {
			r.Errors = append(r.Errors, fmt.Sprintf("%s %s: %v", l.conf.Addr, what, err))
		}
	})
}

const (
	// pulseTime is how often a client looks whether it gets to run, and
	// stallMin how late it must be to have been kept from running: less is
	// how timers are.
	pulseTime = 2 * time.Millisecond
	stallMin  = 10 * time.Millisecond
)

// pulse notes how late a clock is that nothing but this machine can delay.
func (l *Load) pulse(ctx context.Context) {
	tick := time.NewTicker(pulseTime)
	defer tick.Stop()
	held, last := time.Duration(0), time.Now()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		now := time.Now()
		late := max(0, now.Sub(last)-pulseTime)
		held, last = max(held, late), now
		if late >= stallMin {
			l.mu.Lock()
			l.stalled += late
			l.mu.Unlock()
		}
	}
	l.note(func(r *Report) { r.Held = max(r.Held, held) })
}
