package attack

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// patience bounds the wait for something that must come. It is longer
	// than every limit that the node has for a client.
	patience = 30 * time.Second
	// quiet is how long nothing more may come until a case counts as over.
	quiet = 150 * time.Millisecond
)

// h1client is a connection that sends what it is told and reads strictly.
type h1client struct {
	c     net.Conn
	w     io.Writer // c, or something slower
	texts *strings.Replacer

	// Guarded by mu.
	mu      sync.Mutex
	changed *sync.Cond
	in      bytes.Buffer // all that came
	ended   bool
	reader  sync.WaitGroup
}

// dialH1 connects in clear or with TLS to the site that a host belongs to.
func dialH1(n *node, host string, secure bool) (*h1client, error) {
	var c net.Conn
	var err error
	if secure {
		c, err = tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", n.https,
			&tls.Config{RootCAs: n.roots, ServerName: host, NextProtos: []string{"http/1.1"}})
	} else {
		c, err = net.DialTimeout("tcp", n.http, patience)
	}
	if err != nil {
		return nil, err
	}
	h := &h1client{c: c, w: c, texts: texts(host)}
	h.changed = sync.NewCond(&h.mu)
	h.reader.Go(h.read)
	return h, nil
}

// texts puts host and marker of a run, and a host of the site that it is
// not for, into the text of its case.
func texts(host string) *strings.Replacer {
	m := marker.FindString(host)
	other := m + cachedSite
	if other == host {
		other = m + passedSite
	}
	return strings.NewReplacer("{host}", host, "{m}", m, "{other}", other)
}

func (h *h1client) read() {
	buf := make([]byte, 32<<10)
	for {
		n, err := h.c.Read(buf)
		h.mu.Lock()
		h.in.Write(buf[:n])
		h.ended = h.ended || err != nil
		h.changed.Broadcast()
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send writes; an error shows as an ended connection.
func (h *h1client) send(text string) {
	_ = h.c.SetWriteDeadline(time.Now().Add(patience)) // of an open connection
	_, _ = io.WriteString(h.w, h.texts.Replace(text))
}

// closeWrite ends our direction.
func (h *h1client) closeWrite() {
	if c, ok := h.c.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite() // of an open connection
	}
}

// await waits until what came fulfils a condition, or nothing more can
// come.
func (h *h1client) await(ok func(in []byte) bool, limit time.Duration) bool {
	end := time.Now().Add(limit) // before the timer fires
	timer := time.AfterFunc(limit, func() { h.mu.Lock(); h.changed.Broadcast(); h.mu.Unlock() })
	defer timer.Stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for !ok(h.in.Bytes()) {
		if h.ended || !time.Now().Before(end) {
			return false
		}
		h.changed.Wait()
	}
	return true
}

// awaitStatus waits for a response with this code.
func (h *h1client) awaitStatus(code int) {
	word := fmt.Appendf(nil, "HTTP/1.1 %d ", code)
	h.await(func(in []byte) bool { return bytes.Contains(in, word) }, patience)
}

// finish waits for so many final replies, looks whether anything more
// comes, and hangs up. bodiless are the places of replies that have no
// content whatever their head says.
func (h *h1client) finish(replies int, bodiless map[int]bool) *seen {
	s := &seen{}
	parse := func(in []byte, ended bool) {
		*s = *parseReplies(in, ended, bodiless)
	}
	closing := func() bool {
		n := len(s.replies)
		return n > 0 && strings.EqualFold(s.replies[n-1].value("connection"), "close")
	}
	h.await(func(in []byte) bool {
		parse(in, false)
		return len(s.replies) >= replies && s.replies[len(s.replies)-1].whole && !closing()
	}, patience)
	had := 0
	for h.await(func(in []byte) bool { return len(in) > had }, quiet) {
		h.mu.Lock()
		had = h.in.Len()
		h.mu.Unlock()
	}
	h.mu.Lock()
	ended := h.ended
	h.mu.Unlock()
	_ = h.c.Close()
	h.reader.Wait()
	parse(h.in.Bytes(), ended)
	s.ended = ended
	return s
}

// parseReplies reads a connection's bytes as responses.
func parseReplies(in []byte, ended bool, bodiless map[int]bool) *seen {
	s := &seen{}
	r := &strict{r: bufio.NewReaderSize(bytes.NewReader(in), 64<<10)}
	for {
		m, err := r.readHead()
		if len(m.raw) == 0 {
			return s
		}
		p := &reply{message: *m}
		if err == nil {
			err = readStatus(r, p)
		}
		if err == nil && p.status < 200 && p.status != 101 {
			s.interim = append(s.interim, p.status)
			continue
		}
		if err == nil && p.status == 101 {
			rest, _ := io.ReadAll(r.r) // from memory
			s.tunnel, p.whole = string(rest), true
			s.replies = append(s.replies, p)
			return s
		}
		if err == nil {
			err = readReplyBody(r, p, ended, bodiless[len(s.replies)])
		}
		p.message, p.whole = *r.m, err == nil
		s.replies = append(s.replies, p)
		if err != nil {
			if errors.Is(err, errFlaw) {
				s.flaw = r.m.flaw
			}
			return s
		}
	}
}

var statusLine = regexp.MustCompile(`^HTTP/1\.[01] ([1-5]\d\d) `)

func readStatus(r *strict, p *reply) error {
	code := statusLine.FindStringSubmatch(p.start)
	if code == nil {
		return r.fail("status line %q", p.start)
	}
	p.status, _ = strconv.Atoi(code[1]) // three digits
	return nil
}

// readReplyBody reads content as RFC 9112, 6.3, says.
func readReplyBody(r *strict, p *reply, ended, bodiless bool) error {
	length, chunked, err := r.framing()
	switch {
	case err != nil:
		return err
	case p.status == 204 && (length >= 0 || chunked):
		return r.fail("a 204 with framing")
	case bodiless || p.status == 204 || p.status == 304:
		return nil
	case length < 0 && !chunked:
		rest, _ := io.ReadAll(r.r) // from memory
		r.m.body, r.m.raw = rest, append(r.m.raw, rest...)
		if !ended {
			return io.ErrUnexpectedEOF // its end is the connection's
		}
		return nil
	}
	return r.readBody(length, chunked)
}
