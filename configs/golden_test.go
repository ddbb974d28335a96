package configs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// compileRule stands in for the compiler of rules.
func compileRule(expr string) error {
	if expr == "nonsense" {
		return errors.New("undeclared reference to 'nonsense'\n | nonsense\n | ^")
	}
	return nil
}

// TestDiagnostics compares what is said about each document of testdata
// with the file *.want beside it. Names that begin with node- are node
// files, the others site documents.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	for _, file := range files {
		base := filepath.Base(file)
		t.Run(strings.TrimSuffix(base, ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := diagnose(base, data).String()
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("-want +got; go test -update writes the golden files\n%s", d)
			}
		})
	}
}

func diagnose(file string, data []byte) Diagnostics {
	if strings.HasPrefix(file, "node-") {
		_, diags := ParseNode(file, data)
		return diags
	}
	site, diags := ParseSite(file, data, Options{CompileRule: compileRule})
	if site != nil {
		// Files that a document names are another test's.
		site.TLS.ClientAuth = nil
		diags = append(diags, CheckSet([]*Site{site}, &Node{})...)
	}
	return diags
}
