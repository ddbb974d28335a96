package sessions

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/landfall-cdn/landfall/edge/exchange"
)

func TestValue(t *testing.T) {
	cookie := Affinity{By: FromCookie, Name: "id"}
	field := Affinity{By: FromHeader, Name: "x-user"}
	client := Affinity{By: FromClient}
	long := strings.Repeat("a", MaxValue)
	for _, c := range []struct {
		name     string
		affinity Affinity
		header   exchange.Header
		client   string
		want     string
	}{
		{name: "none", affinity: Affinity{Name: "id"}, header: exchange.Header{{Name: "cookie", Value: "id=1"}}, client: "192.0.2.1:1"},
		{name: "cookie", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "a=0; id=1; b=2"}}, want: "1"},
		{name: "no cookie", affinity: cookie, header: exchange.Header{{Name: "x-user", Value: "id=1"}}},
		{name: "the first of two", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "id=1; id=2"}}, want: "1"},
		{name: "a second line", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "a=0"}, {Name: "cookie", Value: "id=1"}, {Name: "cookie", Value: "id=2"}}, want: "1"},
		{name: "names have a case", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "ID=1; Id=2"}}},
		{name: "part of a name", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "sid=1; id2=2; i=id=3"}}},
		{name: "name without value", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "id; id=1"}}, want: "1"},
		{name: "empty value", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "id=; id=1"}}},
		{name: "value with an equals sign", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "id=a=b=="}}, want: "a=b=="},
		{name: "quotes belong to the value", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: `id="1"`}}, want: `"1"`},
		{name: "loose white space", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "a=0;id = 1\t;b=2"}}, want: "1"},
		{name: "longest", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "id=" + long}}, want: long},
		{name: "too long", affinity: cookie, header: exchange.Header{{Name: "cookie", Value: "id=a" + long}}},
		{name: "sticky", affinity: Affinity{By: Sticky, Name: "id"}, header: exchange.Header{{Name: "cookie", Value: "id=1"}}, want: "1"},
		{name: "header", affinity: field, header: exchange.Header{{Name: "x-user", Value: "7"}, {Name: "x-user", Value: "8"}}, want: "7"},
		{name: "no header", affinity: field},
		{name: "header too long", affinity: field, header: exchange.Header{{Name: "x-user", Value: "a" + long}}},
		{name: "IPv4", affinity: client, client: "192.0.2.1:1234", want: "192.0.2.1"},
		{name: "IPv4 in IPv6", affinity: client, client: "[::ffff:192.0.2.1]:1234", want: "192.0.2.1"},
		{name: "IPv6", affinity: client, client: "[2001:db8:1:2:3:4:5:6]:1234", want: "2001:db8:1:2::"},
		{name: "its neighbour", affinity: client, client: "[2001:db8:1:2:ffff::1]:80", want: "2001:db8:1:2::"},
		{name: "with a zone", affinity: client, client: "[fe80::1%eth0]:80", want: "fe80::"},
		{name: "no address", affinity: client},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &exchange.Request{Header: c.header}
			if c.client != "" {
				r.Client = netip.MustParseAddrPort(c.client)
			}
			if got := c.affinity.Value(r); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestName(t *testing.T) {
	if Name("shop", "") != "" {
		t.Error("no value is a session")
	}
	if Name("shop", "1") == Name("blog", "1") || Name("shop", "1") != "shop 1" {
		t.Error("sessions of two sites have one name")
	}
}

// FuzzValue: whatever a client sends, a session's value is bounded and part
// of what was sent, and a cookie that stands first is found.
func FuzzValue(f *testing.F) {
	f.Add("a=b; id=1", "1")
	f.Add(";;=;id", "")
	f.Fuzz(func(t *testing.T, line, value string) {
		a := Affinity{By: FromCookie, Name: "id"}
		got := a.Value(&exchange.Request{Header: exchange.Header{{Name: "cookie", Value: line}}})
		if len(got) > MaxValue || !strings.Contains(line, got) {
			t.Errorf("%q gives %q", line, got)
		}
		value = strings.Trim(value, " \t")
		if strings.Contains(value, ";") || len(value) > MaxValue {
			return
		}
		got = a.Value(&exchange.Request{Header: exchange.Header{{Name: "cookie", Value: "id=" + value + ";" + line}}})
		if got != value {
			t.Errorf("%q became %q", value, got)
		}
	})
}
