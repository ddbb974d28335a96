package origin

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/landfall-cdn/landfall/internal/limits"
)

func TestConfigRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"no endpoint":        {func(c *Config) { c.Endpoints = nil }, "no endpoint"},
		"no limits":          {func(c *Config) { c.Limits = limits.Limits{} }, "limits.Default"},
		"node id":            {func(c *Config) { c.NodeID = "a b" }, "node id"},
		"same name twice":    {func(c *Config) { c.Endpoints = append(c.Endpoints, c.Endpoints[0]) }, "taken"},
		"no name":            {func(c *Config) { c.Endpoints[0].Name = "" }, "no name"},
		"no url":             {func(c *Config) { c.Endpoints[0].URL = nil }, "no url"},
		"scheme":             {func(c *Config) { c.Endpoints[0].URL.Scheme = "ftp" }, "http or https"},
		"path":               {func(c *Config) { c.Endpoints[0].URL.Path = "/a" }, "only scheme"},
		"query":              {func(c *Config) { c.Endpoints[0].URL.RawQuery = "a" }, "only scheme"},
		"no host":            {func(c *Config) { c.Endpoints[0].URL.Host = "" }, "no host"},
		"private address":    {func(c *Config) { c.Endpoints[0].URL.Host = "10.0.0.1:80" }, "private"},
		"metadata service":   {func(c *Config) { c.Endpoints[0].URL.Host = "169.254.169.254" }, "metadata"},
		"mapped address":     {func(c *Config) { c.Endpoints[0].URL.Host = "[::ffff:127.0.0.1]" }, "mapped"},
		"number for a host":  {func(c *Config) { c.Endpoints[0].URL.Host = "2130706433" }, "usual form"},
		"octal for a host":   {func(c *Config) { c.Endpoints[0].URL.Host = "0177.0.0.1" }, "usual form"},
		"host rewrite":       {func(c *Config) { c.Endpoints[0].Host = "a b" }, "not a host"},
		"weight":             {func(c *Config) { c.Endpoints[0].Weight = -1 }, "weight"},
		"timeout":            {func(c *Config) { c.Endpoints[0].Timeouts.Idle = -1 }, "negative"},
		"tuning":             {func(c *Config) { c.Tuning.Aside = -1 }, "negative"},
		"health path":        {func(c *Config) { c.Endpoints[0].Health = &HealthConfig{Path: "healthz"} }, "health path"},
		"health interval":    {func(c *Config) { c.Endpoints[0].Health = &HealthConfig{Path: "/", Interval: -1} }, "health"},
		"everything at once": {func(c *Config) { c.Endpoints[0].Weight, c.Endpoints[0].Host = -1, "a b" }, "not a host\nweight"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := config(t, "http://127.0.0.1:80")
			c.change(&conf)
			_, err := New(conf, nil, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for want := range strings.SplitSeq(c.want, "\n") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not speak of %q", err, want)
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	conf := config(t, "https://origin.example.net")
	health := &HealthConfig{Path: "/"}
	conf.Endpoints[0].Health = health
	o := start(t, conf)
	ep := o.endpoints[0]
	if ep.addr != "origin.example.net:443" || ep.conf.Weight != 1 || ep.conf.Timeouts.Connect != 5*time.Second || ep.conf.Health.Fall != 3 {
		t.Errorf("endpoint %s %+v", ep.addr, ep.conf)
	}
	if *health != (HealthConfig{Path: "/"}) {
		t.Error("the caller's config was changed")
	}
	if o.conf.Tuning.DialFailures != 3 || o.conf.Tuning.RetryPercent != 20 {
		t.Errorf("tuning %+v", o.conf.Tuning)
	}
}

// A replaced Origin serves what it has, and keeps no connection after it.
func TestRunEndsIdleConnections(t *testing.T) {
	gone := make(chan struct{}, 2)
	s := script(t, func(_ int, c *peer) {
		for {
			if _, err := c.head(); err != nil {
				gone <- struct{}{}
				return
			}
			c.say(ok)
		}
	})
	o, err := New(config(t, s.url), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	inFlight, err := o.Fill(t.Context(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	mustFetch(t, o, get("/"))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := o.Run(ctx); err != nil {
		t.Fatal(err)
	}
	<-gone // the idle one
	buf := make([]byte, 10)
	if n, _ := inFlight.Body.Read(buf); string(buf[:n]) != "ok" {
		t.Errorf("read %q", buf[:n])
	}
	inFlight.Body.Close()
	<-gone // and the other
}
