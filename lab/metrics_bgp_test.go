package lab

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// bgpMetric are the metrics of a node with BGP, and none of BFD's: that
// needs a router next to the machine.
var bgpMetric = regexp.MustCompile(`^landfall_(bgp|announce|interlock|check)_|^landfall_announcers$`)

// bgpTable is the section's table.
var bgpTable = regexp.MustCompile(`(?s)(\n## BGP\n.*?\|---\|---\|---\|---\|\n)(.*?)(\n## BFD)`)

// TestMetricsPageBGP is TestMetricsPage for a node that announces itself,
// to a router that is not there. Its VIP is a network: a single address would
// have to be bound.
func TestMetricsPageBGP(t *testing.T) {
	n := startNode(t, `bgp: { asn: 65001, router_id: 192.0.2.11, vips: ["198.51.100.0/24"], peers: [{ address: 192.0.2.1, asn: 64500, multihop: 2 }] }`,
		map[string]string{"a.yaml": siteDoc("a.example", origin(t, "a"))})
	var text string
	waitFor(t, "node that is announced", func() bool {
		_, body := get(t, http.DefaultClient, "http://"+n.admin+"/metrics")
		text = string(body)
		return strings.Contains(text, "landfall_announce_steps_total{") && strings.Contains(text, "landfall_bgp_lease_age_seconds ")
	})
	var rows []string
	for _, m := range family.FindAllStringSubmatch(text, -1) {
		if bgpMetric.MatchString(m[1]) {
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", m[1], m[3], labels(text, m[1]), m[2]))
		}
	}
	page, err := os.ReadFile(metricsPage)
	must(t, err)
	if os.Getenv("LANDFALL_UPDATE") != "" {
		updated := bgpTable.ReplaceAllString(string(page), "${1}"+strings.ReplaceAll(strings.Join(rows, ""), "$", "$$")+"${3}")
		must(t, os.WriteFile(metricsPage, []byte(updated), 0o644))
		return
	}
	m := bgpTable.FindStringSubmatch(string(page))
	if m == nil || m[2] != strings.Join(rows, "") || len(rows) < 10 {
		t.Errorf("%s has other metrics of BGP than a node shows:\n%s", metricsPage, strings.Join(rows, ""))
	}
}
