package cache

import (
	"testing"
	"time"

	"github.com/dunglas/httpsfv"
)

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		status Status
		want   string
	}{
		{Status{}, "n"},
		{Status{Hit: true, TTL: 90 * time.Second, HasTTL: true}, "n; hit; ttl=90"},
		{Status{Hit: true, TTL: -412 * time.Second, HasTTL: true, Detail: "stale-while-revalidate"}, "n; hit; ttl=-412; detail=stale-while-revalidate"},
		{Status{Hit: true, Fwd: FwdMiss}, "n; hit"},
		{Status{Fwd: FwdStale, FwdStatus: 304, Collapsed: true}, "n; fwd=stale; fwd-status=304; collapsed"},
		{Status{Fwd: FwdVaryMiss, FwdStatus: 200, Stored: true, Key: "s https://h/\"\\\xc3\x01"}, `n; fwd=vary-miss; fwd-status=200; stored; key="s https://h/\"\\%C3%01"`},
	} {
		got := string(c.status.Append(nil, "n", true))
		if got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		if _, err := httpsfv.UnmarshalList([]string{got}); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
	if got := string(Status{Hit: true, Key: "k"}.Append([]byte("a, "), "n", false)); got != "a, n; hit" {
		t.Errorf("got %s", got)
	}
}
