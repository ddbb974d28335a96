package relay

import (
	"context"
	"io"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

// cpu returns how long this process has computed.
func cpu(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAsk is a relayed request over TLS on loopback, on one connection,
// with both nodes in this process: cpu-us/op is what the two spend on it.
func BenchmarkAsk(b *testing.B) {
	h := &stub{
		stored: map[string]*exchange.Stored{"/1K": object(1 << 10), "/16K": object(16 << 10), "/1M": object(1 << 20)},
		serve: func(_ context.Context, w exchange.PeerWriter, _ *exchange.Request) {
			_ = w.Head(200, exchange.Header{{Name: "content-type", Value: "text/plain"}}, 1<<10)
			_, _ = w.Write(oneK)
		},
	}
	for _, path := range []string{"/1K", "/16K", "/1M", "/exchange"} {
		for _, askers := range []int{1, 64} {
			b.Run(path[1:]+"/"+strconv.Itoa(askers), func(b *testing.B) {
				p := newPair(b, h, options{loopback: true})
				b.ReportAllocs()
				before, writes := cpu(b), counted(p.peers.met.link.writes)+counted(p.server.met.link.writes)
				b.ResetTimer()
				var left atomic.Int64
				left.Store(int64(b.N))
				done := make(chan struct{})
				for range askers {
					go func() {
						defer func() { done <- struct{}{} }()
						buf := make([]byte, 32<<10)
						for left.Add(-1) >= 0 {
							resp, err := p.ask(get(path))
							if err != nil {
								b.Error(err)
								return
							}
							if _, err := io.CopyBuffer(onlyWriter{}, resp.Body, buf); err != nil {
								b.Error(err)
							}
							_ = resp.Body.Close()
						}
					}()
				}
				for range askers {
					<-done
				}
				b.StopTimer()
				n := float64(b.N)
				b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1000/n, "cpu-us/op")
				b.ReportMetric((counted(p.peers.met.link.writes)+counted(p.server.met.link.writes)-writes)/n, "writes/op")
			})
		}
	}
}

var oneK = letters(1 << 10)

// onlyWriter drops what is written.
type onlyWriter struct{}

func (onlyWriter) Write(p []byte) (int, error) { return len(p), nil }
