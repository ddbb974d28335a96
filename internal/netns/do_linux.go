package netns

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Do calls f on a thread that is in the namespace. Sockets that f opens
// stay there and can be used from anywhere; goroutines that f starts are
// not in it.
func (n *Namespace) Do(f func() error) error {
	ns, err := os.Open(filepath.Join(mounts, n.Name))
	if err != nil {
		return fmt.Errorf("enter namespace %s: %w", n.Name, err)
	}
	defer ns.Close()
	onThread(func() {
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter namespace %s: %w", n.Name, err)
			return
		}
		err = f()
	})
	return err
}

// onThread runs f on a thread of its own, which is not the main one. That one
// cannot end, and others take where it is for where the process is: it would
// be killed with the namespace. While it waits here, it cannot be chosen again.
func onThread(f func()) {
	var inside sync.WaitGroup
	inside.Go(func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			onThread(f)
			runtime.UnlockOSThread()
			return
		}
		// Never unlocked: the runtime ends the thread with the goroutine, so
		// that nothing else runs in the namespace by mistake.
		f()
	})
	inside.Wait()
}
