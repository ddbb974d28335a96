package origin

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// nameServer answers every question with what answer says at that moment.
func nameServer(t *testing.T, answer func() (addr netip.Addr, code dnsmessage.RCode)) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		pc.Close()
		wg.Wait()
	})
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			addr, code := answer()
			if !addr.IsValid() && code == dnsmessage.RCodeSuccess {
				continue // no answer at all
			}
			m.Response, m.RCode, m.Additionals = true, code, nil
			q := m.Questions[0]
			if q.Type == dnsmessage.TypeA && addr.Is4() {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: addr.As4()},
				}}
			}
			if b, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(b, from)
			}
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
		if err == nil {
			// The resolver goes on asking for a while when nobody waits.
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}}
}

// The address that is dialled is the one that is judged, each time: a name
// may mean something else by then.
func TestNameThatIsRebound(t *testing.T) {
	s := script(t, func(_ int, c *peer) {
		if _, err := c.head(); err == nil {
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}
	})
	var now atomic.Value
	now.Store(netip.MustParseAddr("127.0.0.1"))
	conf := config(t, strings.Replace(s.url, "127.0.0.1", "origin.example.net", 1))
	conf.Tuning.Resolver = nameServer(t, func() (netip.Addr, dnsmessage.RCode) {
		return now.Load().(netip.Addr), dnsmessage.RCodeSuccess
	})
	o := start(t, conf)
	mustFetch(t, o, get("/"))
	for _, addr := range []string{"10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "100.64.0.1"} {
		now.Store(netip.MustParseAddr(addr))
		_, _, err := fetch(t, o, get("/"))
		wantCause(t, err, exchange.DestinationIPProhibited)
		if !strings.Contains(err.Error(), addr) {
			t.Errorf("%v does not name %s", err, addr)
		}
	}
	now.Store(netip.MustParseAddr("127.0.0.1"))
	mustFetch(t, o, get("/"))
	if n := len(s.heads()); n != 2 {
		t.Errorf("%d requests at the origin, want 2", n)
	}
}

func TestLoopbackIsRefusedUnlessAllowed(t *testing.T) {
	s := keeping(t)
	conf := config(t, strings.Replace(s.url, "127.0.0.1", "localhost", 1))
	conf.Allow = nil
	_, _, err := fetch(t, start(t, conf), get("/"))
	wantCause(t, err, exchange.DestinationIPProhibited)
	if n := len(s.heads()); n != 0 {
		t.Errorf("%d requests at the origin", n)
	}
}

func TestNamesThatDoNotResolve(t *testing.T) {
	for name, c := range map[string]struct {
		code dnsmessage.RCode
		want exchange.Cause
	}{
		"no such name":   {dnsmessage.RCodeNameError, exchange.DNSError},
		"server failure": {dnsmessage.RCodeServerFailure, exchange.DNSError},
		"no answer":      {dnsmessage.RCodeSuccess, exchange.DNSTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			conf := config(t, "http://origin.example.net")
			if c.want == exchange.DNSTimeout {
				conf.Endpoints[0].Timeouts.Connect = 200 * time.Millisecond
			}
			conf.Tuning.Resolver = nameServer(t, func() (netip.Addr, dnsmessage.RCode) { return netip.Addr{}, c.code })
			_, _, err := fetch(t, start(t, conf), get("/"))
			wantCause(t, err, c.want)
		})
	}
}

func TestErrorNamesTheEndpoint(t *testing.T) {
	u := refusing(t)
	_, _, err := fetch(t, start(t, config(t, u)), get("/"))
	var xe *exchange.Error
	if !errors.As(err, &xe) || "http://"+xe.Endpoint != u {
		t.Errorf("endpoint %q, want %s (%v)", xe.Endpoint, u, err)
	}
}

func TestClassify(t *testing.T) {
	op := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for name, c := range map[string]struct {
		stage stage
		err   error
		want  exchange.Cause
	}{
		"refused":          {connecting, op(syscall.ECONNREFUSED), exchange.ConnectionRefused},
		"no route":         {connecting, op(syscall.EHOSTUNREACH), exchange.DestinationUnavailable},
		"no network":       {connecting, op(syscall.ENETUNREACH), exchange.DestinationUnavailable},
		"timed out":        {connecting, op(context.DeadlineExceeded), exchange.ConnectionTimeout},
		"kernel timed out": {connecting, op(syscall.ETIMEDOUT), exchange.ConnectionTimeout},
		"name":             {connecting, op(&net.DNSError{IsNotFound: true}), exchange.DNSError},
		"name timed out":   {connecting, op(&net.DNSError{IsTimeout: true}), exchange.DNSTimeout},
		"prohibited":       {connecting, op(&prohibitedError{"10.0.0.1", "private"}), exchange.DestinationIPProhibited},
		"handshake late":   {handshaking, context.DeadlineExceeded, exchange.ConnectionTimeout},
		"reset":            {asking, &net.OpError{Op: "read", Err: syscall.ECONNRESET}, exchange.ConnectionTerminated},
		"kernel gave up":   {asking, &net.OpError{Op: "read", Err: syscall.ETIMEDOUT}, exchange.HTTPResponseTimeout},
		"reset in body":    {reading, &net.OpError{Op: "read", Err: syscall.ECONNRESET}, exchange.HTTPResponseIncomplete},
		"late in body":     {reading, timeoutError("x"), exchange.ConnectionReadTimeout},
		"known":            {reading, op(&exchange.Error{Cause: exchange.DNSError}), exchange.DNSError},
		"anything else":    {asking, errors.New("x"), exchange.HTTPProtocolError},
	} {
		if got := classify(c.stage, c.err); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
