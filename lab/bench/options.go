package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what the command line says.
type options struct {
	kinds    []kind
	paths    []string
	rounds   int
	window   time.Duration
	conns    int           // idle connections to hold
	urls     int           // of the smallest object, for relayed loads
	settle   time.Duration // how long a server may tidy up before its memory is read
	builds   []build
	caddy    string // path of the program, "" for none
	alone    bool
	profiles string // folder, "" for none
	limits   map[subject]float64
}

// build is a landfall to measure; path is "" for the tree's own.
type build struct{ name, path string }

// subject is what one ratio is about.
type subject struct{ kind, path string }

func parseOptions(args []string, out io.Writer) (o options, err error) {
	o.settle = 3 * time.Second
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(out)
	names := f.String("kinds", "h1,h2,h3,hs,hs-resume,miss,relayed-h1,relayed-h2,idle-h1,idle-h2", "what to measure, of:\n"+kindsHelp())
	paths := f.String("paths", strings.Join(objectPaths(), ","), "objects to ask for")
	secs := f.Int("secs", 2, "length of a window in `seconds`")
	f.IntVar(&o.rounds, "rounds", 5, "rounds; take 7 or more for a gate")
	f.IntVar(&o.conns, "conns", 5000, "idle connections to hold; ulimit -n must allow as many descriptors")
	f.IntVar(&o.urls, "urls", 100_000, "URLs of 1 KiB that relayed loads go round, and half as many of 16 KiB: at least half of what is asked for in ten seconds")
	f.StringVar(&o.caddy, "caddy", os.Getenv("CADDY"), "`path` of caddy, which is the base of HTTP/3 (default $CADDY)")
	f.BoolVar(&o.alone, "alone", false, "measure neither nginx nor caddy; of several -binary the first is the base")
	f.StringVar(&o.profiles, "profile", "", "`folder` for a CPU profile of landfall in each window")
	f.Func("binary", "measure `NAME=PATH` instead of this tree's landfall; give several to compare them", func(v string) error {
		name, path, ok := strings.Cut(v, "=")
		if !ok || name == "" || path == "" {
			return fmt.Errorf("expected NAME=PATH")
		}
		o.builds = append(o.builds, build{name, path})
		return nil
	})
	var limits []string
	f.Func("max-ratio", "fail when a median ratio is above `KIND:PATH=R`, or is not there; repeat for several", func(v string) error {
		limits = append(limits, v)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || *secs < 1 || o.rounds < 1 || o.conns < 1 || o.urls < 1 {
		return o, fmt.Errorf("expected flags only, and -secs, -rounds, -conns and -urls of at least 1; see -help")
	}
	o.window = time.Duration(*secs) * time.Second
	if o.paths = strings.Split(*paths, ","); !subset(o.paths, objectPaths()) {
		return o, fmt.Errorf("-paths %s: the origin has %s", *paths, strings.Join(objectPaths(), ","))
	}
	if o.builds == nil {
		o.builds = []build{{name: "landfall"}}
	}
	if o.kinds, err = pickKinds(*names); err != nil {
		return o, err
	}
	for _, k := range o.kinds {
		if len(o.pathsOf(k)) == 0 {
			return o, fmt.Errorf("-paths %s: %s is measured with other objects only", *paths, k.name)
		}
	}
	o.limits, err = o.parseLimits(limits)
	return o, err
}

// pickKinds finds kinds by name.
func pickKinds(names string) (picked []kind, err error) {
	all := kinds()
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(k kind) bool { return k.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown kind %q; see -help", name)
		}
		picked = append(picked, all[i])
	}
	return picked, nil
}

// parseLimits refuses a limit on what this run does not measure: it would
// pass without having been looked at.
func (o options) parseLimits(limits []string) (map[subject]float64, error) {
	parsed := map[subject]float64{}
	for _, l := range limits {
		what, ratio, ok := strings.Cut(l, "=")
		name, path, _ := strings.Cut(what, ":")
		limit, err := strconv.ParseFloat(ratio, 64)
		if !ok || err != nil || limit <= 0 {
			return nil, fmt.Errorf("-max-ratio %s: expected KIND:PATH=RATIO such as h1:%s=0.8", l, o.paths[0])
		}
		i := slices.IndexFunc(o.kinds, func(k kind) bool { return k.name == name })
		if i < 0 || !slices.Contains(o.pathsOf(o.kinds[i]), path) || o.base(o.kinds[i]) == "" {
			return nil, fmt.Errorf("-max-ratio %s: %s is not compared with anything in this run", l, what)
		}
		parsed[subject{name, path}] = limit
	}
	return parsed, nil
}

// pathsOf are the objects that a kind is measured with.
func (o options) pathsOf(k kind) []string {
	switch {
	case k.first:
		return o.paths[:1]
	case k.relayed:
		lengths := o.lengths(k)
		return slices.DeleteFunc(slices.Clone(o.paths), func(path string) bool { return lengths[path] == 0 })
	}
	return o.paths
}

// lengths says how many URLs of each object a relayed load goes round.
func (o options) lengths(k kind) map[string]int {
	n := map[string]int{}
	for _, object := range objects {
		if k.relayed && object.relayed > 0 && slices.Contains(o.paths, object.path) {
			n[object.path] = max(1, int(float64(o.urls)*object.relayed))
		}
	}
	return n
}

// base names the server that the ratios of a kind refer to, "" for none.
func (o options) base(k kind) string {
	switch {
	case o.alone && len(o.builds) > 1:
		return o.builds[0].name
	case o.alone, k.base == caddyName && o.caddy == "":
		return ""
	}
	return k.base
}

// servers are the servers that a kind is measured with, the base first.
func (o options) servers(k kind) (names []string) {
	if base := o.base(k); base != "" && !o.alone {
		names = append(names, base)
	}
	for _, b := range o.builds {
		names = append(names, b.name)
	}
	return names
}

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}
