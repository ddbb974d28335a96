package netns

import (
	"os"
	"runtime"
	"sync"
	"testing"
)

// TestMainThreadStaysOutside has many enter a namespace at once, so that one
// of them is on the main thread. Others take that one for the process: it
// would be ended with the namespace.
func TestMainThreadStaysOutside(t *testing.T) {
	ns := add(t, newSet(t), "a")
	where := func() string {
		link, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	before := where()
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			err := ns.Do(func() error {
				if link, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || link == before {
					t.Errorf("on a thread in %s, %v", link, err)
				}
				runtime.Gosched()
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if after := where(); after != before {
		t.Errorf("the process is in %s, was in %s", after, before)
	}
}
