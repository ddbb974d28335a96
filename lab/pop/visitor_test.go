package pop

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// kind is what a visitor does.
type kind int

const (
	browses kind = iota // GET, the session named by the application's cookie
	sticks              // GET, the session named by Landfall's own cookie
	chats               // a WebSocket
	uploads             // POST with a body
	polls               // GET that the origin answers late
	numKinds
)

func (k kind) String() string {
	return [...]string{"browses", "sticks", "chats", "uploads", "polls"}[k]
}

// site is the one that a kind of visitor goes to.
func (k kind) site() string {
	if k == sticks {
		return "sticky"
	}
	return "shop"
}

// visitor is a client with a session, that comes by a new connection to
// whichever node it is led to each time. One goroutine at a time uses it.
type visitor struct {
	session string
	kind    kind
	cookie  string // that Landfall has set
	cameTo  string // the node of the request that is being made
	tickets tls.ClientSessionCache
	rounds  atomic.Int64
}

func newVisitor(session string, k kind) *visitor {
	return &visitor{session: session, kind: k, tickets: tls.NewLRUClientSessionCache(8)}
}

// protocol is that of a visitor's i-th request.
func (v *visitor) protocol(i int64) string {
	if v.kind == chats {
		return "h1"
	}
	return protocols[int(i)%len(protocols)]
}

// visit makes one request by a new connection to a node.
func (v *visitor) visit(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	proto := v.protocol(v.rounds.Load())
	v.cameTo = n.name
	rt, closed := n.transport(proto, &tls.Config{RootCAs: n.pop.roots, ClientSessionCache: v.tickets})
	defer closed()
	err := v.ask(ctx, &http.Client{Transport: rt})
	if err != nil {
		return fmt.Errorf("%s %s by %s at %s: %w", v.session, v.kind, proto, n.name, err)
	}
	return nil
}

// fields are what every request of the visitor has.
func (v *visitor) fields() http.Header {
	cookies := "session=" + v.session
	if v.cookie != "" {
		cookies += "; " + v.cookie
	}
	return http.Header{"X-Session": {v.session}, "X-Came-To": {v.cameTo}, "Cookie": {cookies}}
}

func (v *visitor) ask(ctx context.Context, c *http.Client) error {
	base := "https://" + v.kind.site() + domain + "/s/"
	switch v.kind {
	case chats:
		return v.chat(ctx, c, base+"ws")
	case uploads:
		body := strings.Repeat(v.session+" ", 2000)
		sum := sha256.Sum256([]byte(body))
		return v.expect(ctx, c, base+"upload", body, hex.EncodeToString(sum[:]))
	case polls:
		return v.expect(ctx, c, base+"poll", "", "")
	default:
		return v.expect(ctx, c, base+"echo", "", "")
	}
}

// expect sends a request, with POST when it has a body. "" is any answer.
func (v *visitor) expect(ctx context.Context, c *http.Client, url, body, want string) error {
	method, content := http.MethodGet, io.Reader(nil)
	if body != "" {
		// Not a Reader whose bytes net/http would send a second time.
		method, content = http.MethodPost, struct{ io.Reader }{strings.NewReader(body)}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return err
	}
	req.Header, req.ContentLength = v.fields(), int64(len(body))
	g, err := fetch(c, req)
	if err != nil {
		return err
	}
	if g.status != http.StatusOK || want != "" && g.body != want {
		return fmt.Errorf("status %d, %q, %v", g.status, g.body, g.header)
	}
	for _, set := range g.header.Values("Set-Cookie") {
		v.cookie, _, _ = strings.Cut(set, ";")
	}
	return nil
}

// chat opens a WebSocket, says something and hears it again.
func (v *visitor) chat(ctx context.Context, c *http.Client, url string) error {
	ws, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: c, HTTPHeader: v.fields()})
	if err != nil {
		status := 0
		if resp != nil {
			status = resp.StatusCode
		}
		return fmt.Errorf("status %d: %w", status, err)
	}
	defer func() { _ = ws.CloseNow() }()
	if _, _, err := ws.Read(ctx); err != nil {
		return err
	}
	for i := range 3 {
		text := fmt.Sprintf("%s %d", v.session, i)
		if err := ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			return err
		}
		if _, got, err := ws.Read(ctx); err != nil || string(got) != text {
			return errors.Join(err, fmt.Errorf("echo of %q is %q", text, got))
		}
	}
	return ws.Close(websocket.StatusNormalClosure, "")
}

// failure is a visit that went wrong.
type failure struct {
	visitor    *visitor
	at         *node
	began, end time.Time
	err        error
}

// report fails the test for each.
func report(t testing.TB, when string, failures []failure) {
	t.Helper()
	for i, f := range failures {
		if i == 10 {
			t.Errorf("%s: %d more failures", when, len(failures)-i)
			return
		}
		t.Errorf("%s: after %v: %v", when, f.end.Sub(f.began).Round(time.Millisecond), f.err)
	}
}
