package health

import (
	"errors"
	"testing"
)

func TestVerdictNamesTheFailingCheck(t *testing.T) {
	var s Set
	broken := errors.New("no site could be loaded")
	s.Require("edge", func() error { return nil })
	s.Require("sites", func() error { return broken })
	s.Report("sites", func() []string { return []string{"shop.yaml:3: no"} })

	v := s.Verdict()
	if v.Ready || len(v.Checks) != 2 || v.Checks[0].Name != "edge" || v.Checks[1].Error != broken.Error() {
		t.Errorf("verdict %+v does not name the failing check", v)
	}
	if len(v.Problems) != 1 || v.Problems[0].Text != "shop.yaml:3: no" {
		t.Errorf("problems %+v", v.Problems)
	}
	broken = nil
	s.Require("sites", func() error { return nil })
	if !s.Ready() {
		t.Error("not ready although every check passes: problems must not count")
	}
}
