package limits

import (
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestEveryLimit: each field has a name of its own, a meaning, and a
// default; the names stand in the order of the fields.
func TestEveryLimit(t *testing.T) {
	fields, defaults := reflect.TypeFor[Limits](), reflect.ValueOf(Default())
	if fields.NumField() != int(numNames) {
		t.Fatalf("%d fields and %d names", fields.NumField(), numNames)
	}
	seen := map[string]bool{}
	for i := range fields.NumField() {
		f := fields.Field(i)
		name := f.Tag.Get("name")
		if name == "" || seen[name] || f.Tag.Get("doc") == "" || defaults.Field(i).IsZero() {
			t.Errorf("%s: name %q, doc %q, default %v", f.Name, name, f.Tag.Get("doc"), defaults.Field(i))
		}
		seen[name] = true
		if strings.ReplaceAll(name, "_", "") != strings.ToLower(f.Name) || Name(i).String() != name {
			t.Errorf("field %d is %s, its name %q, the counter's %q", i, f.Name, name, Name(i))
		}
	}
}

func TestCounters(t *testing.T) {
	var c Counters
	c.Hit(RequestURI)
	c.Hit(RequestURI)
	if c.Hits(RequestURI) != 2 || c.Hits(RequestHead) != 0 {
		t.Error("hits are not kept apart")
	}
	if n := testutil.CollectAndCount(&c); n != int(numNames) {
		t.Errorf("%d series, want one for each limit", n)
	}
	(*Counters)(nil).Hit(RequestURI) // counts nothing, and does not break
}
