package inet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lock takes the lock of a lab's folder, which its supervisor holds while
// it lives; the file that is returned is the lock, and passes it on to
// whoever inherits it. It makes the folder. A folder that was removed
// meanwhile is made anew: a lock on a file that nobody else can find keeps
// nobody away.
func lock(name string) (*os.File, error) {
	dir := Dir(name)
	for {
		// FRR's daemons run as a user of their own and have to get through.
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return nil, errors.Join(errLocked, f.Close())
		}
		held, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if now, err := os.Stat(f.Name()); err == nil && os.SameFile(held, now) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

var errLocked = errors.New("a process of the lab is running")

// running reports whether the lab of a name has a supervisor, or a process
// that is cleaning up after one. It changes nothing.
func running(name string) (bool, error) {
	f, err := os.Open(filepath.Join(Dir(name), lockFile))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether lab %s is up: %w", name, err)
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) != nil, nil
}
