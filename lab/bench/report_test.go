package main

import (
	"strings"
	"testing"
)

// cells3 are three rounds of nginx and Landfall, in the second of which
// the machine was slow.
func cells3() []*cell {
	s := subject{"h1", "/o/1k"}
	return []*cell{
		{subject: s, server: nginxName, base: nginxName, samples: map[int]sample{
			0: {cost: 10, kernel: 0.5, rate: 90000, busy: 0.9}, 1: {cost: 20, kernel: 0.5, rate: 45000, busy: 0.9}, 2: {cost: 10, kernel: 0.6, rate: 90000, busy: 0.9},
		}},
		{subject: s, server: "landfall", base: nginxName, samples: map[int]sample{
			0: {cost: 7, kernel: 0.8, rate: 120000, busy: 0.84}, 1: {cost: 15, kernel: 0.8, rate: 60000, busy: 0.9}, 2: {cost: 6, kernel: 0.8, rate: 130000, busy: 0.9},
		}},
	}
}

func TestTable(t *testing.T) {
	cells := append(cells3(),
		&cell{subject: subject{"idle-h1", "/o/1k"}, server: "landfall", base: nginxName, samples: map[int]sample{0: {cost: 14300}}},
		&cell{subject: subject{"h2", "/o/1k"}, server: "landfall", base: nginxName, failed: "x"})
	want := `| load    | object | server   | cost    | least to most  | kernel | req/s  | CPU  | ratio | least to most |
|---------|--------|----------|---------|----------------|--------|--------|------|-------|---------------|
| h1      | /o/1k  | nginx    | 10.0 us | 10.0 to 20.0   | 50 %   | 90000  | 90 % |       |               |
| h1      | /o/1k  | landfall | 7.0 us  | 6.0 to 15.0    | 80 %   | 120000 | 90 % | 0.70  | 0.60 to 0.75  |
| idle-h1 | /o/1k  | landfall | 14300 B | 14300 to 14300 |        |        |      |       |               |
| h2      | /o/1k  | landfall | failed  |                |        |        |      |       |               |
`
	if got := table(cells); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name   string
		limit  float64
		change func(cells []*cell)
		says   string // "" when the limit holds
	}{
		{name: "under", limit: 0.71},
		{name: "over", limit: 0.69, says: "OVER h1 /o/1k of landfall: ratio 0.70, limit 0.69"},
		{name: "failed requests", limit: 2, change: func(c []*cell) { c[1].failed = "7 responses 5xx" }, says: "FAILED h1 /o/1k of landfall: 7 responses 5xx"},
		{name: "no base", limit: 2, change: func(c []*cell) { clear(c[0].samples) }, says: "NO RATIO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cells := cells3()
			if c.change != nil {
				c.change(cells)
			}
			got := strings.Join(verdicts(cells, options{limits: map[subject]float64{{"h1", "/o/1k"}: c.limit}}), "\n")
			if !strings.Contains(got, c.says) || (c.says == "") != (got == "") {
				t.Errorf("%q, want %q", got, c.says)
			}
		})
	}
}
