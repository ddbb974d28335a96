package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

const wrkOutput = `Running 2s test @ https://localhost:18443/o/1k
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.27ms  379.85us   7.83ms   78.60%
    Req/Sec    49.79k     2.83k   55.02k    75.00%
  100000 requests in 2.00s, 120.30MB read
`

const h2loadOutput = `starting benchmark...
Application protocol: h2
finished in 2.00s, 58931.50 req/s, 61.43MB/s
requests: 117863 total, 118119 started, 117863 done, 117863 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 117863 2xx, 0 3xx, 0 4xx, 0 5xx
`

func TestParseGenerators(t *testing.T) {
	for _, c := range []struct {
		name  string
		parse func(string) (load, error)
		out   string
		want  load
		fails bool
	}{
		{name: "wrk", parse: parseWrk, out: wrkOutput + "Requests/sec:  50000.00\n", want: load{Requests: 100000, Seconds: 2}},
		{
			name: "wrk with failures", parse: parseWrk,
			out:  wrkOutput + "  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 7\nRequests/sec:  50000.00\n",
			want: load{Requests: 100000, Seconds: 2, Failed: "Socket errors: connect 0, read 3, write 0, timeout 1, Non-2xx or 3xx responses: 7"},
		},
		{name: "wrk without a result", parse: parseWrk, out: "unable to connect to localhost", fails: true},
		{name: "h2load", parse: parseH2load, out: h2loadOutput, want: load{Requests: 117863}},
		{
			name: "h2load with failures", parse: parseH2load,
			out:  strings.Replace(h2loadOutput, "0 3xx, 0 4xx, 0 5xx", "0 3xx, 5 4xx, 2 5xx", 1),
			want: load{Requests: 117863, Failed: "5 responses 4xx, 2 responses 5xx"},
		},
		{name: "h2load over HTTP/1.1", parse: parseH2load, out: strings.Replace(h2loadOutput, "protocol: h2", "protocol: http/1.1", 1), fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.parse(c.out)
			if (err != nil) != c.fails || !c.fails && got != c.want {
				t.Errorf("%+v, %v; want %+v, failure %v", got, err, c.want, c.fails)
			}
		})
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name, args string
		says       string // "" when they are accepted
	}{
		{name: "none"},
		{name: "a limit", args: "-kinds h1,h2 -max-ratio h1:/o/1k=0.8 -max-ratio h2:/o/1m=0.7"},
		{name: "a limit on memory", args: "-kinds idle-h1 -max-ratio idle-h1:/o/1k=0.7"},
		{name: "HTTP/3 against caddy", args: "-kinds h3 -caddy /bin/caddy -max-ratio h3:/o/1k=0.3"},
		{name: "a kind that does not exist", args: "-kinds h4", says: `unknown kind "h4"`},
		{name: "an object that does not exist", args: "-paths /o/2k", says: "/o/1k,/o/16k,/o/1m"},
		{name: "an object that is not relayed", args: "-kinds relayed-h2 -paths /o/1m", says: "relayed-h2 is measured with other objects"},
		{name: "a limit on an object that is not relayed", args: "-kinds relayed-h1 -max-ratio relayed-h1:/o/1m=0.8", says: "not compared"},
		{name: "a limit on relayed hits", args: "-kinds relayed-h1 -max-ratio relayed-h1:/o/16k=0.6"},
		{name: "no URLs", args: "-urls 0", says: "at least 1"},
		{name: "no window", args: "-secs 0", says: "at least 1"},
		{name: "a word too many", args: "h1", says: "flags only"},
		{name: "a build without a path", args: "-binary new", says: "NAME=PATH"},
		{name: "a limit on what is not measured", args: "-kinds h1 -max-ratio h2:/o/1k=0.8", says: "not compared"},
		{name: "a limit on an object that is not measured", args: "-kinds hs -max-ratio hs:/o/1m=0.8", says: "not compared"},
		{name: "a limit without a base", args: "-kinds h3 -caddy= -max-ratio h3:/o/1k=0.8", says: "not compared"},
		{name: "a limit and no base at all", args: "-kinds h1 -alone -max-ratio h1:/o/1k=0.8", says: "not compared"},
		{name: "a limit that is no number", args: "-max-ratio h1:/o/1k", says: "KIND:PATH=RATIO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := parseOptions(strings.Fields(c.args), io.Discard)
			if c.says == "" && (err != nil || o.window != 2*time.Second || o.rounds != 5) {
				t.Errorf("%+v, %v", o, err)
			}
			if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestServersOfAKind(t *testing.T) {
	for _, c := range []struct{ name, args, want, base string }{
		{"nginx is the base", "-kinds h1", "nginx landfall", "nginx"},
		{"two builds", "-kinds h1 -binary old=/a -binary new=/b", "nginx old new", "nginx"},
		{"HTTP/3 with caddy", "-kinds h3 -caddy /bin/caddy", "caddy landfall", "caddy"},
		{"HTTP/3 without", "-kinds h3 -caddy=", "landfall", ""},
		{"alone", "-kinds h1 -alone", "landfall", ""},
		{"two builds alone", "-kinds h3 -alone -binary old=/a -binary new=/b", "old new", "old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := parseOptions(strings.Fields(c.args), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(o.servers(o.kinds[0]), " "); got != c.want || o.base(o.kinds[0]) != c.base {
				t.Errorf("%q and base %q, want %q and %q", got, o.base(o.kinds[0]), c.want, c.base)
			}
		})
	}
}
