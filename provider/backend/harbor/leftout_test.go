package harbor

import (
	"reflect"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
)

// TestWhatTrivysAdapterLeavesOut, by the properties that the real one tells
// (recorded from harbor-scanner-trivy).
func TestWhatTrivysAdapterLeavesOut(t *testing.T) {
	for name, tc := range map[string]struct {
		properties map[string]string
		want       *report.LeftOut
	}{
		"another adapter": {map[string]string{databaseProperty: "2026-11-26T00:43:20Z"}, nil},
		"the defaults": {map[string]string{
			trivySeverities: "UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL", trivyUnfixed: "false", trivyTypes: "os,library",
		}, nil},
		"the worst only": {map[string]string{trivySeverities: "HIGH, CRITICAL"}, &report.LeftOut{
			Severities: []report.Severity{report.SeverityMedium, report.SeverityLow, report.SeverityNegligible, report.SeverityUnknown},
		}},
		"words that nobody knows": {map[string]string{trivySeverities: "WORST"}, &report.LeftOut{Severities: report.Severities()}},
		"without what has no fix": {map[string]string{trivyUnfixed: "TRUE"}, &report.LeftOut{Unfixed: true}},
		"languages only":          {map[string]string{trivyTypes: "library"}, &report.LeftOut{Packages: "packages of the distribution"}},
		"distribution only":       {map[string]string{trivyTypes: "os"}, &report.LeftOut{Packages: "packages of languages"}},
	} {
		if got := (&metadata{Properties: tc.properties}).leftOut(); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}
