package lab

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// echoOrigin answers with the target that it saw, and 412 with a body of
// its own to PUT.
func echoOrigin(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusPreconditionFailed)
			_, _ = io.WriteString(w, "the origin's word")
			return
		}
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = io.WriteString(w, r.RequestURI)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestUnsentBody: a client that announces content and sends none is
// answered, and its connection ends.
func TestUnsentBody(t *testing.T) {
	n := startNode(t, "limits: { body_stall: 1s }", map[string]string{"a.yaml": siteDoc("a.example", echoOrigin(t))})
	c, err := net.Dial("tcp", n.http)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("status %d", resp.StatusCode)
	}
	// What comes late is the rest of the body, never a request.
	_, _ = io.WriteString(c, "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n")
	rest, _ := io.ReadAll(r) // ends, by a close or a reset
	if strings.Contains(string(rest), "HTTP/1.1") {
		t.Errorf("a second answer: %q", rest)
	}
	if log := n.accessLog(t); strings.Contains(log, "smuggled") {
		t.Errorf("the body was read as a request: %s", log)
	}
}

// TestEncodedPathMeetsRules: rules judge the path that the origin gets.
func TestEncodedPathMeetsRules(t *testing.T) {
	doc := siteDoc("a.example", echoOrigin(t)) + "\nrules: [{ name: closed, when: 'request.path.startsWith(\"/admin\")', redirect: { to: /denied, status: 302 } }]\n"
	n := startNode(t, "", map[string]string{"a.yaml": doc})
	for _, path := range []string{"/admin", "/%61dmin", "/%61%64min"} {
		resp, body := get(t, n.client(t, "h2"), "https://a.example"+path)
		if resp.StatusCode != http.StatusFound {
			t.Errorf("%s: %d, the origin saw %q", path, resp.StatusCode, body)
		}
	}
}

// TestOriginsOwn412: only a condition that we evaluated is answered by us.
func TestOriginsOwn412(t *testing.T) {
	n := startNode(t, "", map[string]string{"a.yaml": siteDoc("a.example", echoOrigin(t))})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://a.example/doc", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := n.client(t, "h1").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, _ := io.ReadAll(resp.Body); string(body) != "the origin's word" {
		t.Errorf("body %.80q", body)
	}
}
