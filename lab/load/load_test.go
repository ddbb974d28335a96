package load

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

const longSize = 100_000

func longByte(at int) byte { return byte(at * 7) }

// origin answers like the lab's: small ones at once, long ones whole or from
// where a range begins. breaks is how many long answers break off halfway,
// resets how many connections end before a byte of an answer.
type origin struct {
	*httptest.Server
	breaks, resets atomic.Int32
	wrong          atomic.Bool
}

func newOrigin(t *testing.T) *origin {
	o := &origin{}
	mux := http.NewServeMux()
	mux.HandleFunc("/quick", func(w http.ResponseWriter, _ *http.Request) {
		if o.resets.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprint(w, "ok")
	})
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		from := 0
		w.Header().Set("ETag", `"x"`)
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from); err == nil && r.Header.Get("If-Range") == `"x"` {
			w.WriteHeader(http.StatusPartialContent)
		}
		b := make([]byte, longSize-from)
		for i := range b {
			b[i] = longByte(from + i)
		}
		if o.wrong.Load() {
			b[len(b)-1]++
		}
		if o.breaks.Add(-1) >= 0 {
			_, _ = w.Write(b[:len(b)/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(b)
	})
	o.Server = httptest.NewUnstartedServer(mux)
	o.EnableHTTP2 = true
	o.StartTLS()
	t.Cleanup(o.Close)
	return o
}

func (o *origin) load() *Load {
	addr := netip.MustParseAddrPort(o.Listener.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(o.Certificate())
	return &Load{conf: Config{
		Dial: func(ctx context.Context, _ int, a netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", a.String())
		},
		Addr: addr.Addr(), HTTPS: addr.Port(), Host: "example.com", Roots: roots,
		Quick: "/quick", Long: "/long", LongByte: longByte, LongSize: longSize,
	}}
}

// TestWhatAClientDidByItselfIsCounted sees each way of recovery once, and
// what no recovery helps.
func TestWhatAClientDidByItselfIsCounted(t *testing.T) {
	for _, c := range []struct {
		name           string
		resets, breaks int32
		wrong          bool
		do             func(*Load, context.Context)
		want           Report
	}{
		{name: "an answer", do: visitH1, want: Report{Requests: 1}},
		{name: "an answer at the second attempt", resets: 1, do: visitH1, want: Report{Requests: 1, Retried: 1}},
		{name: "none at two attempts", resets: 2, do: visitH1, want: Report{Requests: 1, Retried: 1, Failed: 1}},
		{name: "HTTP/2", resets: 1, do: func(l *Load, ctx context.Context) { l.visit(ctx, "h2") }, want: Report{Requests: 1, Retried: 1}},
		{name: "a download", do: downloadH1, want: Report{}},
		{name: "one that broke twice", breaks: 2, do: downloadH1, want: Report{Resumed: 2}},
		{name: "one that always breaks", breaks: 100, do: downloadH1, want: Report{Resumed: maxResumes + 1, Lost: 1}},
		{name: "one with a wrong byte", wrong: true, do: downloadH1, want: Report{Lost: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOrigin(t)
			o.resets.Store(c.resets)
			o.breaks.Store(c.breaks)
			o.wrong.Store(c.wrong)
			l := o.load()
			c.do(l, t.Context())
			got := l.report
			if (len(got.Errors) > 0) != (c.want.Failed+c.want.Lost > 0) {
				t.Errorf("errors %q", got.Errors)
			}
			if got.Requests != c.want.Requests || got.Retried != c.want.Retried || got.Failed != c.want.Failed || got.Resumed != c.want.Resumed || got.Lost != c.want.Lost {
				t.Errorf("report %+v, want %+v", got, c.want)
			}
		})
	}
}

func visitH1(l *Load, ctx context.Context) { l.visit(ctx, "h1") }

func downloadH1(l *Load, ctx context.Context) {
	if err := l.download(ctx, "h1"); err != nil {
		l.failed(func(r *Report) { r.Lost++ }, "download", err)
	}
}

func TestRatesHaveBounds(t *testing.T) {
	for _, r := range []Rates{{New: MaxNew + 1}, {Downloads: -1}, {Flows: MaxFlows + 1}} {
		if _, err := Start(t.Context(), Config{Rates: r}); err == nil || !strings.Contains(err.Error(), "expected 0 to") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestReportsAddUp(t *testing.T) {
	a, b := Report{Requests: 1, Gap: 2, Errors: []string{"x"}}, Report{Requests: 2, Lost: 1, Gap: 1, Held: 3, Errors: []string{"1", "2", "3", "4", "5"}}
	sum := a.Add(b)
	if sum.Requests != 3 || sum.Lost != 1 || sum.Gap != 2 || sum.Held != 3 || len(sum.Errors) != maxErrors || len(a.Errors) != 1 {
		t.Errorf("sum %+v", sum)
	}
}
