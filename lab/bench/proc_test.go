package main

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// fakeProcess makes the files of a process that has used given ticks of CPU
// time and KiB of memory.
func fakeProcess(fs fstest.MapFS, pid, parent int, name string, ticks [4]int, kib int) {
	fs[fmt.Sprintf("%d/stat", pid)] = &fstest.MapFile{Data: fmt.Appendf(nil,
		"%d (%s) S %d 1 1 0 -1 4194560 1 2 3 4 %d %d %d %d 20 0 1 0 100\n", pid, name, parent, ticks[0], ticks[1], ticks[2], ticks[3])}
	fs[fmt.Sprintf("%d/smaps_rollup", pid)] = &fstest.MapFile{Data: fmt.Appendf(nil,
		"00400000-7ffe r--p 00000000 00:00 0 [rollup]\nRss:     9999 kB\nPss:     %d kB\nPss_Dirty: 1 kB\n", kib)}
}

func TestProcCountsChildren(t *testing.T) {
	fs := fstest.MapFS{"cpuinfo": {}}
	fakeProcess(fs, 10, 1, "nginx", [4]int{1, 2, 30, 40}, 100)
	fakeProcess(fs, 11, 10, "a) S 1 (b", [4]int{100, 200, 0, 0}, 20)
	fakeProcess(fs, 12, 11, "grandchild", [4]int{1000, 2000, 0, 0}, 3)
	fakeProcess(fs, 13, 1, "stranger", [4]int{7, 7, 7, 7}, 7)
	p := proc{fs}
	used, err := p.cpu(10)
	if want := (cpuTime{user: 11310 * time.Millisecond, kernel: 22420 * time.Millisecond}); err != nil || used != want {
		t.Errorf("CPU %v, %v; want %v", used, err, want)
	}
	bytes, err := p.pss(10)
	if err != nil || bytes != 123<<10 {
		t.Errorf("memory %d, %v; want %d", bytes, err, 123<<10)
	}
}

func TestProcOfNobody(t *testing.T) {
	p := proc{fstest.MapFS{"10/stat": {Data: []byte("10 (short) S 1")}}}
	for pid, says := range map[int]string{10: "fields", 99: "not exist"} {
		if _, err := p.cpu(pid); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("process %d: %v, want %q", pid, err, says)
		}
	}
}
