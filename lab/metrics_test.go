package lab

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const metricsPage = "../docs/reference/metrics.md"

var family = regexp.MustCompile(`(?m)^# HELP (landfall_\w+) (.*)\n# TYPE \w+ (\w+)$`)

// TestMetricsPage holds the page of metrics to what a node exposes, name,
// type, labels and meaning. With LANDFALL_UPDATE set it writes the page's
// table. Those of BGP stand there too: TestMetricsPageBGP.
func TestMetricsPage(t *testing.T) {
	n := startNode(t, "", map[string]string{"a.yaml": siteDoc("a.example", origin(t, "a"))})
	get(t, n.client(t, "h1"), "https://a.example/")
	_, text := get(t, http.DefaultClient, "http://"+n.admin+"/metrics")
	var rows []string
	for _, m := range family.FindAllStringSubmatch(string(text), -1) {
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", m[1], m[3], labels(string(text), m[1]), m[2]))
	}
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("LANDFALL_UPDATE") != "" {
		updated := regexp.MustCompile(`(?s)(\|---\|---\|---\|---\|\n).*?(\n## BGP)`).ReplaceAllString(string(page), "${1}"+strings.ReplaceAll(strings.Join(rows, "\n"), "$", "$$")+"\n${2}")
		if err := os.WriteFile(metricsPage, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if len(rows) < 30 {
		t.Errorf("only %d metrics in\n%s", len(rows), text)
	}
	for _, row := range rows {
		if !strings.Contains(string(page), row+"\n") {
			t.Errorf("%s lacks %s", metricsPage, row)
		}
	}
	for _, line := range strings.Split(string(page), "\n") {
		if line == "## BGP" {
			break
		}
		if strings.HasPrefix(line, "| `landfall_") && !slices.Contains(rows, line) {
			t.Errorf("%s has %s, which no node shows", metricsPage, line)
		}
	}
}

// labels lists the label names of a family, in order.
func labels(text, name string) string {
	var names []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		rest = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(rest, "_bucket"), "_sum"), "_count")
		if !ok || !strings.HasPrefix(rest, "{") {
			continue
		}
		for _, m := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(rest, -1) {
			if m[1] != "le" && !slices.Contains(names, m[1]) {
				names = append(names, m[1])
			}
		}
	}
	return strings.Join(names, " ")
}
