package certs

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"
)

const (
	// settle is how long after a change in a directory its files are read,
	// so that one replacement of two files is one reload.
	settle = 100 * time.Millisecond
	// poll is how often everything is looked at without being told: for
	// directories that were not there, file systems that do not notify,
	// and notifications that were lost.
	poll = time.Minute
)

// notifier tells which files changed in the directories it is given.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
	Close() error
	events() <-chan fsnotify.Event
	errors() <-chan error
}

// kernel is the notifier of the operating system.
type kernel struct{ *fsnotify.Watcher }

func (k kernel) events() <-chan fsnotify.Event { return k.Watcher.Events }
func (k kernel) errors() <-chan error          { return k.Watcher.Errors }

// deaf never tells anything; poll is left.
type deaf struct{}

func (deaf) Add(string) error              { return nil }
func (deaf) Remove(string) error           { return nil }
func (deaf) Close() error                  { return nil }
func (deaf) events() <-chan fsnotify.Event { return nil }
func (deaf) errors() <-chan error          { return nil }

func newNotifier(log *zap.Logger) notifier {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("cannot be told of changed certificate files; looking every minute instead", zap.Error(err))
		return deaf{}
	}
	return kernel{w}
}

// watcher refreshes the sources of the live set when their files change or
// their time has come. All of it is owned by run.
type watcher struct {
	m        *Manager
	notifier notifier
	dirs     map[string][]source  // watched directories, symbolic links resolved
	due      map[source]time.Time // sources to refresh, and when
	polled   time.Time            // when everything was last looked at
}

func newWatcher(m *Manager, n notifier) *watcher {
	return &watcher{m: m, notifier: n, dirs: map[string][]source{}, due: map[source]time.Time{}}
}

func (w *watcher) run(ctx context.Context, ready func()) {
	w.refresh(time.Now())
	ready()
	timer := time.NewTimer(w.wait(time.Now()))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.m.committed:
			w.polled = time.Time{}
		case e := <-w.notifier.events():
			w.touched(filepath.Dir(e.Name), time.Now())
		case err := <-w.notifier.errors():
			w.m.log.Warn("changes of certificate files may have been missed; looking at all", zap.Error(err))
			w.polled = time.Time{}
		case <-timer.C:
		}
		w.refresh(time.Now())
		timer.Reset(w.wait(time.Now()))
	}
}

// touched makes the sources with files in dir due, unless they are sooner.
func (w *watcher) touched(dir string, now time.Time) {
	at := now.Add(settle)
	for _, s := range w.dirs[dir] {
		if due, ok := w.due[s]; !ok || at.Before(due) {
			w.due[s] = at
		}
	}
}

// wait returns how long nothing has to be done.
func (w *watcher) wait(now time.Time) time.Duration {
	next := w.polled.Add(poll)
	for _, at := range w.due {
		if at.Before(next) {
			next = at
		}
	}
	return max(0, next.Sub(now))
}

// refresh looks for newer certificates of the sources that are due.
func (w *watcher) refresh(now time.Time) {
	w.m.work.Lock()
	defer w.m.work.Unlock()
	if !now.Before(w.polled.Add(poll)) {
		w.polled = now
		w.follow(w.m.live.Load(), now)
	}
	for s, at := range w.due {
		if now.Before(at) {
			continue
		}
		delete(w.due, s)
		if again := s.refresh(now); !again.IsZero() {
			w.due[s] = again
		}
	}
}

// follow makes all sources of the live set due, forgets all others, and
// watches the directories that their files are in now. A directory that was
// replaced lost its watch, so each is added again.
func (w *watcher) follow(live *Set, now time.Time) {
	due, dirs := make(map[source]time.Time, len(live.sources)), map[string][]source{}
	for _, s := range live.sources {
		due[s] = now
		if f, ok := s.(*files); ok {
			for _, dir := range f.dirs() {
				dirs[dir] = append(dirs[dir], s)
			}
		}
	}
	for dir := range dirs {
		if err := w.notifier.Add(dir); err != nil {
			w.m.log.Debug("cannot watch a directory of certificates; looking every minute", zap.String("directory", dir), zap.Error(err))
		}
	}
	for dir := range w.dirs {
		if dirs[dir] == nil {
			_ = w.notifier.Remove(dir) // fails when the directory is gone, and its watch with it
		}
	}
	w.due, w.dirs = due, dirs
}
