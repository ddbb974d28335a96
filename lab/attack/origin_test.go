package attack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// marker is the name of one run of one case. It stands in the host of its
// requests, and in everything that it tries to smuggle.
var marker = regexp.MustCompile(`zq\d{5}z`)

// answer is how the origin answers a request: bytes as they are, and
// whether the connection ends after them.
type answer struct {
	bytes string
	end   bool
}

// origin reads strictly, records every byte, and answers by script.
type origin struct {
	addr string

	// Guarded by mu.
	mu      sync.Mutex
	scripts map[string]func(*request) answer // by marker
	early   map[string]func(*request) answer // by marker; asked when the head has come
	saw     map[string][]*request            // by marker
	strays  []string                         // requests of no case, or of two
	conns   map[net.Conn]bool
	open    map[string]int // requests that a script answers at this moment
	most    map[string]int // the most of them at once
}

func startOrigin(t testing.TB) *origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{
		addr: ln.Addr().String(), scripts: map[string]func(*request) answer{}, saw: map[string][]*request{}, early: map[string]func(*request) answer{}, conns: map[net.Conn]bool{},
		open: map[string]int{}, most: map[string]int{},
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.conns[c] = true
			o.mu.Unlock()
			conns.Go(func() { o.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		o.mu.Lock()
		for c := range o.conns {
			_ = c.Close()
		}
		o.mu.Unlock()
		conns.Wait()
	})
	return o
}

// script says how requests of one case are answered.
func (o *origin) script(marker string, f func(*request) answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.scripts[marker] = f
}

// scriptEarly says how they are answered before their content is read.
func (o *origin) scriptEarly(marker string, f func(*request) answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.early[marker] = f
}

// answerEarly answers a request of which only the head has come, if the
// case says so.
func (o *origin) answerEarly(c net.Conn, r *request) (answer, bool) {
	o.mu.Lock()
	script := o.early[marker.FindString(string(r.raw))]
	o.mu.Unlock()
	if script == nil {
		return answer{}, false
	}
	a := script(r)
	_, _ = io.WriteString(c, a.bytes) // shows in the body
	return a, a.bytes != ""
}

// serve answers the requests of one connection until one is flawed.
func (o *origin) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		o.mu.Lock()
		delete(o.conns, c)
		o.mu.Unlock()
	}()
	s := &strict{r: bufio.NewReaderSize(c, 64<<10)}
	for {
		r, err := readRequestHead(s)
		if errors.Is(err, io.EOF) || len(r.raw) == 0 {
			return
		}
		var given answer
		answered := false
		if err == nil {
			given, answered = o.answerEarly(c, r)
		}
		if err == nil && !answered && strings.EqualFold(r.value("expect"), "100-continue") {
			_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n") // shows in the body
		}
		if err == nil && !given.end {
			err = readRequestBody(s, r)
		}
		r.cut = r.cut || given.end || errors.Is(err, io.ErrUnexpectedEOF)
		a := o.record(r)
		if err != nil || given.end {
			return
		}
		if answered {
			continue
		}
		// In pieces: a large answer is not copied whole.
		_, err = io.Copy(c, struct{ io.Reader }{strings.NewReader(a.bytes)})
		if strings.HasPrefix(a.bytes, "HTTP/1.1 101") {
			o.tunnel(s, c, r)
			return
		}
		if err != nil || a.end {
			return
		}
	}
}

// tunnel gives back what comes through a tunnel.
func (o *origin) tunnel(s *strict, c net.Conn, r *request) {
	buf := make([]byte, 4096)
	for {
		n, err := s.r.Read(buf)
		o.mu.Lock()
		r.tunnel += string(buf[:n])
		o.mu.Unlock()
		if n > 0 {
			_, _ = c.Write(buf[:n]) // an error shows in the next read
		}
		if err != nil {
			return
		}
	}
}

// record keeps a request and finds its answer.
func (o *origin) record(r *request) answer {
	// What stands deep in content is content, whatever it looks like.
	found := marker.FindAllString(string(r.raw[:min(len(r.raw), 64<<10)]), -1)
	m := strings.Join(slices.Compact(slices.Sorted(slices.Values(found))), " ")
	o.mu.Lock()
	o.saw[m] = append(o.saw[m], r)
	if len(m) != len("zq00000z") {
		o.strays = append(o.strays, fmt.Sprintf("of %q: %.300q", m, r.raw))
	}
	script := o.scripts[m]
	o.open[m]++
	o.most[m] = max(o.most[m], o.open[m])
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		o.open[m]--
		o.mu.Unlock()
	}()
	if script != nil {
		if a := script(r); a.bytes != "" {
			return a
		}
	}
	return echo(r)
}

// echo is the answer without a script: what was read, to be kept for a
// minute.
func echo(r *request) answer {
	body := "saw " + string(r.raw)
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=60\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	if r.method == "HEAD" {
		return answer{bytes: head}
	}
	return answer{bytes: head + body}
}

// requests returns what reached the origin of one case.
func (o *origin) requests(m string) []*request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.saw[m])
}

// atOnce returns the most requests of one case that the origin had at one
// time.
func (o *origin) atOnce(m string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.most[m]
}

// strayed returns requests that belong to no case, or to two.
func (o *origin) strayed() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.strays)
}
