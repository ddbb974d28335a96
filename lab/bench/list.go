package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// list is the URLs of an object that a relayed load asks for, one after the
// other. A node keeps copies of what it is asked for often, and answers with
// those by itself. So a list has to be so long that its load comes round to
// none of it more than twice in ten seconds.
type list struct {
	// Static after newList.
	file string // one on each line
	all  []string

	next int // where the next load begins; owned by who runs the bench
}

// newList writes a list of n URLs of an object in a folder: of as many as it
// takes, up to twice that, those that fit. It asks about several at once.
func newList(dir, path string, n int, fits func(url string) (bool, error)) (*list, error) {
	var (
		mu     sync.Mutex
		l      = &list{file: filepath.Join(dir, strings.ReplaceAll(path, "/", "-"))}
		tried  int
		failed error
		all    sync.WaitGroup
	)
	// try tries the URL that is next, and reports whether there is another.
	try := func() bool {
		mu.Lock()
		tried++
		url := fmt.Sprintf("%s?k=%07d", path, tried)
		mu.Unlock()
		ok, err := fits(url)
		mu.Lock()
		defer mu.Unlock()
		if ok {
			l.all = append(l.all, url)
		}
		if failed == nil {
			failed = err
		}
		return failed == nil && len(l.all) < n && tried < 2*n
	}
	for range dialers {
		all.Go(func() {
			for try() {
			}
		})
	}
	all.Wait()
	if failed == nil && len(l.all) < n {
		failed = fmt.Errorf("only %d of %d URLs of %s are another node's", len(l.all), tried, path)
	}
	return l, errors.Join(failed, os.WriteFile(l.file, []byte(strings.Join(l.all, "\n")+"\n"), 0o644))
}

// take returns the next n.
func (l *list) take(n int) (urls []string) {
	for range n {
		urls = append(urls, l.all[l.next])
		l.skip(1)
	}
	return urls
}

// skip goes on to those after the next n.
func (l *list) skip(n int) { l.next = (l.next + n) % len(l.all) }
