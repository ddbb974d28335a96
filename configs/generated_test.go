package configs

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the generated files and the golden files")

// TestGenerated compares what is made from the structs with what is
// checked in.
func TestGenerated(t *testing.T) {
	for file, want := range map[string][]byte{
		"node.schema.json":                   NodeSchema(),
		"site.schema.json":                   SiteSchema(),
		"../docs/reference/configuration.md": Reference(),
	} {
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale; run go generate ./configs", file)
		}
	}
}
