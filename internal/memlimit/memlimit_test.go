package memlimit

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const mib = 1 << 20

func TestDecide(t *testing.T) {
	for _, c := range []struct {
		name  string
		group int64
		env   map[string]string
		want  plan
	}{
		{name: "four fifths of the group's limit", group: 1000 * mib, want: plan{limit: 800 * mib, gcPercent: 50}},
		{name: "no limit, none set", want: plan{gcPercent: 50}},
		{name: "the operator's limit wins", group: 1000 * mib, env: map[string]string{"GOMEMLIMIT": "2GiB"}, want: plan{gcPercent: 50}},
		{name: "off is an operator's limit too", group: 1000 * mib, env: map[string]string{"GOMEMLIMIT": "off"}, want: plan{gcPercent: 50}},
		{name: "the operator's pace wins", group: 1000 * mib, env: map[string]string{"GOGC": "200"}, want: plan{limit: 800 * mib}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decide(Config{GCPercent: 50}, c.group, func(name string) string { return c.env[name] })
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestGroupLimit(t *testing.T) {
	for _, c := range []struct {
		name     string
		provider memlimit.Provider
		want     int64
		fails    bool
	}{
		{name: "a limit", provider: memlimit.Limit(512 * mib), want: 512 * mib},
		{name: "unlimited", provider: failing(memlimit.ErrNoLimit)},
		{name: "no control group", provider: failing(memlimit.ErrNoCgroup)},
		{name: "not Linux", provider: failing(memlimit.ErrCgroupsNotSupported)},
		{name: "a limit beyond any machine", provider: memlimit.Limit(math.MaxUint64)},
		{name: "unreadable", provider: failing(fs.ErrPermission), fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := groupLimit(c.provider)
			if got != c.want || (err != nil) != c.fails {
				t.Errorf("%d, %v; want %d, failure %v", got, err, c.want, c.fails)
			}
			if c.fails && (!errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "GOMEMLIMIT")) {
				t.Errorf("%v does not say why, or what to do", err)
			}
		})
	}
}

func failing(err error) memlimit.Provider {
	return func() (uint64, error) { return 0, err }
}

func TestWarning(t *testing.T) {
	for _, c := range []struct {
		name         string
		group, limit int64
		says         string // "" for no warning
	}{
		{name: "no limit at all"},
		{name: "room enough", group: 1000 * mib, limit: 800 * mib},
		{name: "just enough", group: 480 * mib, limit: 384 * mib},
		{name: "over the Go limit", group: 470 * mib, limit: 376 * mib, says: "exceed the Go memory limit of 376 MiB"},
		{name: "over the group's", group: 300 * mib, limit: 240 * mib, says: "exceed the control group's limit of 300 MiB"},
		{name: "over an operator's", limit: 200 * mib, says: "raise GOMEMLIMIT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := warning(Config{Cache: 256 * mib}, Applied{Group: c.group, Limit: c.limit})
			if !strings.Contains(got, c.says) || (c.says == "") != (got == "") {
				t.Errorf("%q, want %q", got, c.says)
			}
		})
	}
}

// probeEnv makes the test binary the process that is looked at: what Apply
// sets is the process' own.
const probeEnv = "LANDFALL_MEMLIMIT_PROBE"

func TestApply(t *testing.T) {
	if os.Getenv(probeEnv) != "" {
		a, err := Apply(Config{Cache: 256 * mib, GCPercent: 50})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("limit %d MiB, pace %d, warning %q", a.Limit>>20, a.GCPercent, a.Warning)
		return
	}
	for _, c := range []struct {
		name string
		env  []string
		says []string
	}{
		{"its own pace", []string{"GOMEMLIMIT=300MiB", "GOGC="}, []string{"limit 300 MiB, pace 50", "exceed the Go memory limit"}},
		{"the operator's pace", []string{"GOMEMLIMIT=2GiB", "GOGC=150"}, []string{"limit 2048 MiB, pace 150", `warning ""`}},
		{"no collection but at the limit", []string{"GOMEMLIMIT=2GiB", "GOGC=off"}, []string{"limit 2048 MiB, pace -1"}},
		{"no limit", []string{"GOMEMLIMIT=off", "GOGC="}, []string{"limit 0 MiB, pace 50"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestApply$", "-test.v")
			cmd.Env = append(append(os.Environ(), probeEnv+"=1"), c.env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, s := range c.says {
				if !strings.Contains(string(out), s) {
					t.Errorf("no %q in\n%s", s, out)
				}
			}
		})
	}
}
