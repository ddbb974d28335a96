package obs

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// running opens a log and runs it; stop ends it.
func running(t *testing.T, path string) (a *AccessLog, stop func()) {
	t.Helper()
	a, err := OpenAccess(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- a.Run(ctx, func() { close(ready) }) }()
	<-ready
	return a, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func write(t *testing.T, a *AccessLog, record string) {
	t.Helper()
	if _, err := io.WriteString(a.Writer(), record+"\n"); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRotation: a file that is renamed away gets what was said before, the
// new one what comes after; nothing is lost at the end.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	a, stop := running(t, path)
	write(t, a, `{"n":1}`)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := a.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, a, `{"n":2}`)
	stop()
	for file, want := range map[string]string{path + ".1": `"n":1`, path: `"n":2`} {
		text := read(t, file)
		if strings.Count(text, "\n") != 1 || !strings.Contains(text, want) || !json.Valid([]byte(text)) {
			t.Errorf("%s holds %q, want one record with %s", file, text, want)
		}
	}
}

// TestReopenThatFailsKeepsTheOldFile: no record is lost when a folder is
// gone.
func TestReopenThatFailsKeepsTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "access.log")
	a, stop := running(t, path)
	if err := os.Rename(dir, dir+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := a.Reopen(); err == nil {
		t.Error("reopened a file in a folder that is gone")
	}
	write(t, a, `{}`)
	stop()
	if read(t, filepath.Join(dir+".moved", "access.log")) == "" {
		t.Error("the record is lost")
	}
}

// TestFullDisk: what cannot be written is counted, and writing goes on
// once it can.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	a, stop := running(t, path)
	good := a.file.f
	broken, err := os.Open(os.DevNull) // not open for writing
	if err != nil {
		t.Fatal(err)
	}
	a.file.f = broken
	write(t, a, `{"n":1}`)
	if err := a.buffer.Sync(); err != nil {
		t.Fatal(err)
	}
	if lost, err := a.Lost(); lost != 1 || err == nil {
		t.Errorf("lost %d, %v; want 1 and why", lost, err)
	}
	a.file.f = good
	write(t, a, `{"n":2}`)
	stop()
	if _, err := a.Lost(); err != nil || !strings.Contains(read(t, path), `"n":2`) {
		t.Errorf("writing did not go on: %v, %q", err, read(t, path))
	}
	_ = broken.Close()
}

func TestNoAccessLog(t *testing.T) {
	a, stop := running(t, "")
	if a.Writer() != nil || a.Reopen() != nil {
		t.Error("a log although none was asked for")
	}
	stop()
}

func TestRedirect(t *testing.T) {
	core, seen := observer.New(zapcore.WarnLevel)
	restore := Redirect(zap.New(core))
	log.Print("from a library")
	restore()
	if seen.FilterMessage("from a library").Len() != 1 {
		t.Errorf("logged %v", seen.All())
	}
}
