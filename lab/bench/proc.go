package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ is 100 wherever Go runs
// (proc(5)).
const tick = 10 * time.Millisecond

// proc reads /proc.
type proc struct{ fs.FS }

// cpuTime is what processes have used.
type cpuTime struct{ user, kernel time.Duration }

func (c cpuTime) plus(d cpuTime) cpuTime {
	return cpuTime{c.user + d.user, c.kernel + d.kernel}
}

func (c cpuTime) minus(d cpuTime) cpuTime {
	return cpuTime{c.user - d.user, c.kernel - d.kernel}
}

func (c cpuTime) total() time.Duration { return c.user + c.kernel }

// stat is one line of /proc/PID/stat.
type stat struct {
	parent int
	used   cpuTime // its own, and that of children that it waited for
}

func (p proc) stat(pid int) (st stat, err error) {
	text, err := fs.ReadFile(p, fmt.Sprintf("%d/stat", pid))
	if err != nil {
		return st, err
	}
	// The second field is the program's name in brackets, and may hold
	// both blanks and brackets.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const parent, utime, stime, cutime, cstime = 1, 11, 12, 13, 14
	if len(f) <= cstime {
		return st, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	number := func(field int) time.Duration {
		n, bad := strconv.ParseInt(f[field], 10, 64)
		if bad != nil && err == nil {
			err = fmt.Errorf("/proc/%d/stat: %w", pid, bad)
		}
		return time.Duration(n)
	}
	st.parent = int(number(parent))
	st.used.user = tick * (number(utime) + number(cutime))
	st.used.kernel = tick * (number(stime) + number(cstime))
	return st, err
}

// tree returns a process and all its descendants.
func (p proc) tree(pid int) ([]int, error) {
	entries, err := fs.ReadDir(p, ".")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // not a process
		}
		if st, err := p.stat(child); err == nil { // else it has just ended
			children[st.parent] = append(children[st.parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// cpu is what a process and its descendants have used. A descendant that
// ends goes over to its parent's account.
func (p proc) cpu(pid int) (sum cpuTime, err error) {
	all, err := p.tree(pid)
	if err != nil {
		return sum, err
	}
	for _, pid := range all {
		st, err := p.stat(pid)
		if err != nil {
			return sum, err
		}
		sum = sum.plus(st.used)
	}
	return sum, nil
}

// pss is the proportional set size of a process and its descendants in
// bytes: a page that several share counts once.
func (p proc) pss(pid int) (sum int64, err error) {
	all, err := p.tree(pid)
	if err != nil {
		return 0, err
	}
	for _, pid := range all {
		text, err := fs.ReadFile(p, fmt.Sprintf("%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		kib, err := field(text, "Pss:")
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/smaps_rollup: %w", pid, err)
		}
		sum += kib << 10
	}
	return sum, nil
}

// field finds the number after a word at the start of a line.
func field(text []byte, word string) (int64, error) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) > 1 && f[0] == word {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("no %s", word)
}
