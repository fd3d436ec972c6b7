package report_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
)

func TestWhatIsKeptOfAFinding(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, tc := range map[string]struct {
		in   report.Vulnerability
		want string
	}{
		"identifier":      {report.Vulnerability{ID: long}, "an identifier of 1048576 bytes"},
		"alias":           {report.Vulnerability{ID: "CVE-1", Aliases: []string{long}}, "an identifier of 1048576 bytes"},
		"too many names":  {report.Vulnerability{ID: "CVE-1", Aliases: make([]string, 1025)}, "CVE-1 goes by 1025 names"},
		"everything else": {report.Vulnerability{ID: "CVE-1", Package: long, PURL: long, Installed: long, Fixed: long, Description: long, Suppressed: long, Links: []string{long, "a"}}, ""},
	} {
		err := tc.in.Bound()
		if tc.want != "" {
			if err == nil || !strings.Contains(err.Error(), tc.want) || len(err.Error()) > 200 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		b, mistake := json.Marshal(tc.in)
		if err != nil || mistake != nil || len(b) > 8<<10 || !reflect.DeepEqual(tc.in.Links, []string{"a"}) {
			t.Errorf("%s: %v, %d bytes, links %q", name, err, len(b), tc.in.Links)
		}
	}
	whole := report.Vulnerability{ID: "CVE-1", Aliases: []string{"GHSA-1"}, Package: "p", PURL: "pkg:npm/p@1", Installed: "1", Fixed: "2", Links: []string{"a", "b"}}
	same := whole
	if err := same.Bound(); err != nil || !reflect.DeepEqual(same, whole) {
		t.Errorf("one within the bounds is %+v, %v", same, err)
	}
}
