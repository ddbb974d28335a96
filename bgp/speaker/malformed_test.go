package speaker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/landfall-cdn/landfall/bgp"
	"github.com/landfall-cdn/landfall/internal/netns"
)

const (
	hostileASN = 64511
	// resetters are hostile routers that have their sessions reset; GoBGP
	// waits for 5 s after each reset.
	resetters = 6
)

// hostile is a router that sends what it likes. Owned by one goroutine.
type hostile struct {
	t        *testing.T
	address  string
	listener net.Listener
}

// newHostile listens in the router's namespace.
func newHostile(t *testing.T, ns *netns.Namespace, address string) *hostile {
	t.Helper()
	type result struct {
		l   net.Listener
		err error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
		fd, err := unix.Open("/run/netns/"+ns.Name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = errors.Join(unix.Setns(fd, unix.CLONE_NEWNET), unix.Close(fd))
		}
		var l net.Listener
		if err == nil {
			l, err = new(net.ListenConfig).Listen(context.Background(), "tcp4", address+":179")
		}
		made <- result{l, err}
	}()
	r := <-made
	must(t, r.err)
	t.Cleanup(func() { r.l.Close() }) // a test may have done so
	return &hostile{t: t, address: address, listener: r.l}
}

// session accepts one and brings it up.
func (h *hostile) session() net.Conn {
	for {
		must(h.t, h.listener.(*net.TCPListener).SetDeadline(time.Now().Add(waitLimit)))
		conn, err := h.listener.Accept()
		must(h.t, err)
		if h.open(conn) == nil {
			return conn
		}
		conn.Close() // of a speaker that was about to end
	}
}

func (h *hostile) open(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(waitLimit)); err != nil {
		return err
	}
	open := []byte{4, hostileASN >> 8, hostileASN & 0xff, 0, 90}
	open = append(open, netip.MustParseAddr(h.address).AsSlice()...)
	as4 := binary.BigEndian.AppendUint32([]byte{65, 4}, hostileASN)
	capabilities := append([]byte{1, 4, 0, 1, 0, 1}, as4...)
	open = append(open, byte(len(capabilities)+2), 2, byte(len(capabilities)))
	open = append(open, capabilities...)
	if _, err := conn.Write(append(message(1, open), message(4, nil)...)); err != nil {
		return err
	}
	for {
		header := make([]byte, headerLength)
		if _, err := io.ReadFull(conn, header); err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint16(header[16:])-headerLength)); err != nil {
			return err
		}
		switch header[18] {
		case 3:
			return errors.New("refused")
		case 4:
			return nil
		}
	}
}

// send sends messages, then waits until the other end has closed if it is
// to, and tells how many were sent.
func (h *hostile) send(conn net.Conn, bodies [][]byte, closes bool) int {
	closed := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, conn) // whatever it says
	})
	defer work.Wait()
	defer conn.Close()
	for i, body := range bodies {
		if _, err := conn.Write(message(2, body)); err != nil {
			return i
		}
	}
	if closes {
		<-closed // the deadline of open ends this too
	}
	return len(bodies)
}

// malformedLab is a node with one good router and some hostile ones.
type malformedLab struct {
	*lab
	client *Client
	log    *logBuffer // of the data plane
	bulk   *hostile
	resets []*hostile
}

func newMalformedLab(t *testing.T) *malformedLab {
	t.Helper()
	m := &malformedLab{lab: newLab(t, "malformed"), log: &logBuffer{}}
	// BIRD has to leave the port of the other addresses to others.
	m.startRouter(t, "bird", strings.NewReplacer(
		"neighbor "+node4, "local 10.77.0.1 as 64500; strict bind on; neighbor "+node4,
		"neighbor "+node6, "local fd77::1 as 64500; strict bind on; neighbor "+node6,
	).Replace(fmt.Sprintf(birdConf, "")))
	cfg := labConfig().BGP
	for i := range 1 + resetters {
		address := fmt.Sprintf("10.77.0.%d", 100+i)
		must(t, m.router.AddAddress("lan", prefix(address+"/24")))
		h := newHostile(t, m.router, address)
		// Multihop: the kernel of this end sends with a TTL of 64.
		cfg.Peers = append(cfg.Peers, bgp.PeerConfig{Address: netip.MustParseAddr(address), ASN: hostileASN, Multihop: 2})
		if m.bulk == nil {
			m.bulk = h
		} else {
			m.resets = append(m.resets, h)
		}
	}
	m.client = m.startClientWith(t, ClientConfig{BGP: cfg, Quarantine: 500 * time.Millisecond, Log: zap.New(zapcore.NewCore(
		zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(m.log), zap.WarnLevel))})
	must(t, m.client.Apply(bgp.Desired{Generation: 1, Announce: cfg.Announcement(bgp.Normal, bgp.Attrs{})}))
	wait(t, "the good router has the VIPs", func() bool { return m.hasRoutes(true) })
	return m
}

// TestMalformedUpdates has hostile routers send what they should not. They
// reset their own sessions, or end the speaker; the data plane lives, and
// the good router has the VIPs again each time.
func TestMalformedUpdates(t *testing.T) {
	t.Parallel()
	all := newCorpus(10_000)
	t.Log(all)
	if len(all.killers) < 3 {
		t.Fatalf("%d lines panic, want some more to try", len(all.killers))
	}
	m := newMalformedLab(t)
	pid := m.client.Status().PID

	// Those that a session survives come at once. Those that reset it are
	// the last of a session.
	var work sync.WaitGroup
	for i, h := range m.resets {
		work.Go(func() {
			reset := all.resets[i*len(all.resets)/resetters]
			h.send(h.session(), append(all.survived[i*100:i*100+100:i*100+100], reset), true)
		})
	}
	sessions := 0
	for left := all.survived; len(left) > 0; sessions++ {
		conn := m.bulk.session()
		before := m.client.Status().Peers[2].Updates
		sent := m.bulk.sendAndKeep(conn, left)
		wait(t, "they have been read", func() bool {
			p := m.client.Status().Peers[2]
			return p.Updates >= before+uint64(sent) || p.State != bgp.Established
		})
		left = left[sent:]
		conn.Close()
	}
	work.Wait()
	for _, h := range m.resets {
		h.listener.Close() // from now on there is one to blame
	}
	s := m.client.Status()
	t.Logf("%d sessions for %d messages, %d restarts, %d read", sessions, len(all.survived), s.Restarts, s.Peers[2].Updates)
	if s.PID != pid || s.Restarts != 0 || !m.hasRoutes(true) {
		t.Errorf("speaker %d became %d, %d restarts; want messages that GoBGP survives to do no harm", pid, s.PID, s.Restarts)
	}

	for i, line := range all.lines() {
		restarts := m.client.Status().Restarts
		m.bulk.send(m.bulk.session(), [][]byte{all.killers[line]}, true)
		wait(t, "another speaker runs", func() bool { return m.client.Status().Restarts > restarts })
		wait(t, "the good router has the VIPs again", func() bool {
			s := m.client.Status()
			return s.AppliedGeneration == 1 && s.Peers[0].State == bgp.Established && s.Peers[1].State == bgp.Established && m.hasRoutes(true)
		})
		s := m.client.Status()
		want := uint64(max(0, i+1-crashesFree))
		if s.Restarts != restarts+1 || s.Down != "" || s.Peers[2].Quarantines != want {
			t.Errorf("%s: %d restarts, %d quarantines of the hostile router, down %q; want %d, %d, not down",
				line, s.Restarts, s.Peers[2].Quarantines, s.Down, restarts+1, want)
		}
		for j, p := range s.Peers {
			if j != 2 && p.Quarantines != 0 {
				t.Errorf("%s: %s was in quarantine", line, p.Address)
			}
		}
	}
	if n := strings.Count(m.log.String(), "speaker ended, starting another"); n != len(all.killers) {
		t.Errorf("%d crashes are in the log, want %d", n, len(all.killers))
	}
}

// sendAndKeep is send, but the session goes on.
func (h *hostile) sendAndKeep(conn net.Conn, bodies [][]byte) int {
	for i, body := range bodies {
		if _, err := conn.Write(message(2, body)); err != nil {
			return i
		}
	}
	return len(bodies)
}
