package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// origin answers every request with a word.
func origin(t *testing.T, word string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, word)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func siteDoc(host, origin string) string {
	return fmt.Sprintf("hostnames: [%s]\ntls: {cert: internal}\norigins: [%q]\n", host, origin)
}

type verdict struct {
	Ready    bool
	Checks   []struct{ Name, Error string }
	Problems []struct{ Name, Text string }
}

func (n *node) health(t *testing.T) (status int, v verdict) {
	t.Helper()
	resp, body := get(t, http.DefaultClient, "http://"+n.admin+"/healthz/ready")
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return resp.StatusCode, v
}

func (v verdict) complains(of string) bool {
	for _, p := range v.Problems {
		if strings.Contains(p.Text, of) {
			return true
		}
	}
	return false
}

// TestSiteFilesTakeEffect follows one operator's day: a change, a mistake,
// a restart with the mistake still there, the repair.
func TestSiteFilesTakeEffect(t *testing.T) {
	blue, green := origin(t, "blue"), origin(t, "green")
	n := startNode(t, "", map[string]string{"a.yaml": siteDoc("a.example", blue), "b.yaml": siteDoc("b.example", blue)})
	c := n.client(t, "h2")
	says := func(host, want string) bool {
		resp, body := get(t, c, "https://"+host+"/")
		return resp.StatusCode == 200 && string(body) == want
	}
	if !says("a.example", "blue") {
		t.Fatal("the site does not answer")
	}

	n.writeSite(t, "a.yaml", siteDoc("a.example", green))
	waitFor(t, "changed site", func() bool { return says("a.example", "green") })

	n.writeSite(t, "a.yaml", "hostnames: [a.example]\norigns: ["+`"`+blue+`"`+"]\n")
	waitFor(t, "complaint", func() bool { _, v := n.health(t); return v.complains("origns") })
	status, v := n.health(t)
	if status != 200 || !v.Ready || !v.complains("a.yaml:2") {
		t.Errorf("health %d %+v: want ready, with file and line of the mistake", status, v)
	}
	if !says("a.example", "green") || !says("b.example", "blue") {
		t.Error("a mistake in one document changed what is served")
	}
	if _, text := get(t, http.DefaultClient, "http://"+n.admin+"/metrics"); !strings.Contains(string(text), "landfall_sites_refused 1") {
		t.Error("the metric does not count the refused document")
	}

	if code := n.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	n.start(t)
	c = n.client(t, "h2")
	if !says("a.example", "green") || !says("b.example", "blue") {
		t.Error("after a restart the last good version does not serve")
	}

	n.writeSite(t, "a.yaml", siteDoc("a.example", blue))
	waitFor(t, "repaired site", func() bool { return says("a.example", "blue") })
	waitFor(t, "clean bill of health", func() bool { _, v := n.health(t); return len(v.Problems) == 0 })
}

// TestUnreadableFileHoldsUpNobody: one that is no regular file, or is cut
// off in the middle, is refused by itself.
func TestUnreadableFileHoldsUpNobody(t *testing.T) {
	n := startNode(t, "", map[string]string{"a.yaml": siteDoc("a.example", origin(t, "a"))})
	if err := syscall.Mkfifo(filepath.Join(n.dir, "sites", "pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.writeSite(t, "half.yaml", "hostnames: [half.example]\norigins: [\"https://or")
	n.writeSite(t, "empty.yaml", "")
	n.writeSite(t, "b.yaml", siteDoc("b.example", origin(t, "b")))
	waitFor(t, "complaints", func() bool {
		_, v := n.health(t)
		return v.complains("pipe.yaml: is not a regular file") && v.complains("half.yaml:") && v.complains("empty.yaml")
	})
	for _, host := range []string{"a.example", "b.example"} {
		if _, body := get(t, n.client(t, "h2"), "https://"+host+"/"); string(body) != host[:1] {
			t.Errorf("%s answers %q", host, body)
		}
	}
}

// TestHangup: SIGHUP opens the access log again, for whoever rotates it.
func TestHangup(t *testing.T) {
	n := startNode(t, "", map[string]string{"a.yaml": siteDoc("a.example", origin(t, "a"))})
	old := filepath.Join(n.dir, "access.log")
	must(t, os.Rename(old, old+".1"))
	mustSignal(t, n.process, syscall.SIGHUP)
	waitFor(t, "new access log", func() bool { _, err := os.Stat(old); return err == nil })
	get(t, n.client(t, "h1"), "https://a.example/after")
	waitFor(t, "record in the new log", func() bool { return strings.Contains(n.accessLog(t), "/after") })
}

// TestBusyFolderIsRead although it is never quiet.
func TestBusyFolderIsRead(t *testing.T) {
	n := startNode(t, "", map[string]string{"a.yaml": siteDoc("a.example", origin(t, "a"))})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		f, err := os.OpenFile(filepath.Join(n.dir, "sites", "a.yaml"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = f.Close() }()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = f.WriteString("#\n") // a comment: the document stays good
			case <-stop:
				return
			}
		}
	}()
	n.writeSite(t, "b.yaml", siteDoc("b.example", origin(t, "b")))
	waitFor(t, "added site while the folder is busy", func() bool {
		resp, err := n.client(t, "h1").Get("https://b.example/")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
	close(stop)
	<-stopped
}

// TestTakenHostnameIsRefused: the document that came later is refused, and
// the site that serves keeps its name.
func TestTakenHostnameIsRefused(t *testing.T) {
	n := startNode(t, "", map[string]string{"b.yaml": siteDoc("a.example", origin(t, "first"))})
	n.writeSite(t, "a.yaml", siteDoc("a.example", origin(t, "thief")))
	waitFor(t, "complaint", func() bool { _, v := n.health(t); return v.complains("a.example") })
	if _, body := get(t, n.client(t, "h1"), "https://a.example/"); string(body) != "first" {
		t.Errorf("%q answers for a hostname that was taken", body)
	}
}

// TestLostCertificateFileEndsNoSite: a site whose certificate file goes
// away serves on with what was read, whatever else changes.
func TestLostCertificateFileEndsNoSite(t *testing.T) {
	n := startNode(t, "", map[string]string{"b.yaml": siteDoc("b.example", origin(t, "b"))})
	pair := selfSigned(t, "a.example")
	n.roots.AppendCertsFromPEM([]byte(pair.cert))
	n.write(t, "a.crt", pair.cert)
	n.write(t, "a.key", pair.key)
	n.writeSite(t, "a.yaml", fmt.Sprintf("hostnames: [a.example]\ntls: { cert: { certificate: ../a.crt, key: ../a.key } }\norigins: [%q]\n", origin(t, "a")))
	says := func(host, want string) bool {
		resp, err := n.client(t, "h1").Get("https://" + host + "/")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		return string(body) == want
	}
	waitFor(t, "site with files", func() bool { return says("a.example", "a") })
	must(t, os.Remove(filepath.Join(n.dir, "a.crt")))
	n.writeSite(t, "b.yaml", siteDoc("b.example", origin(t, "changed")))
	waitFor(t, "changed site", func() bool { return says("b.example", "changed") })
	if !says("a.example", "a") {
		t.Error("the site with the lost file ended")
	}
}

// TestReloadDropsNothing changes sites while a download and a tunnel are
// under way.
func TestReloadDropsNothing(t *testing.T) {
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "6")
		_, _ = io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		<-release
		_, _ = io.WriteString(w, "def")
	}))
	t.Cleanup(slow.Close)
	n := startNode(t, "", map[string]string{"a.yaml": siteDoc("a.example", slow.URL)})
	for _, proto := range []string{"h1", "h2", "h3"} {
		resp, err := n.client(t, proto).Get("https://a.example/" + proto)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		name := "added-" + proto
		n.writeSite(t, name+".yaml", siteDoc(name+".example", origin(t, name)))
		c := n.client(t, proto)
		waitFor(t, "added site", func() bool {
			resp, err := c.Get("https://" + name + ".example/")
			if err != nil {
				return false // its name is not known yet
			}
			defer func() { _ = resp.Body.Close() }()
			return resp.StatusCode == 200
		})
		n.writeSite(t, "a.yaml", siteDoc("a.example", origin(t, "new"))+"cache: { stale_if_error: 1h }\n")
		release <- struct{}{}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "abcdef" {
			t.Errorf("%s: body %q, %v", proto, body, err)
		}
		n.writeSite(t, "a.yaml", siteDoc("a.example", slow.URL))
		waitFor(t, "the first site again", func() bool {
			text, err := os.ReadFile(filepath.Join(n.dir, "state", "sites", "a.yaml"))
			return err == nil && strings.Contains(string(text), slow.URL)
		})
	}
}
