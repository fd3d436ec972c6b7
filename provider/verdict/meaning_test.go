package verdict_test

import (
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
	"github.com/imagegate/imagegate/provider/verdict/exceptiontest"
)

// TestExceptionsMeanWhatTheTableSays runs the table that Constraints are held
// against too.
func TestExceptionsMeanWhatTheTableSays(t *testing.T) {
	for _, c := range exceptiontest.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			file, err := yaml.Marshal([]any{c.Exception})
			if err != nil {
				t.Fatal(err)
			}
			j, err := verdict.New(verdict.Options{
				Threshold: report.SeverityHigh, ExceptionsFile: write(t, "exceptions.yaml", string(file)), Now: func() time.Time { return c.Now },
			})
			if (err != nil) != (c.Want == exceptiontest.Refused) {
				t.Fatalf("%v, want it %s", err, c.Want)
			}
			if err != nil {
				return
			}
			f := finding(c.ID, report.SeverityHigh, "")
			f.Aliases, f.Package = c.Aliases, c.Package
			f.Fixed, f.FixAvailable = c.Fixed, c.FixAvailable
			if c.Exploited {
				f.KnownExploited = &report.KnownExploited{}
			}
			scan := scanOf(f)
			if c.Known {
				scan.RiskData = &report.RiskData{KnownExploited: report.RiskSource{AsOf: c.Now}}
			}
			s := verdict.Subject{Reference: c.Image, Digest: exceptiontest.Index, Manifest: exceptiontest.Manifest, Namespace: c.Namespace}
			if c.Written != "" {
				s.Reference = c.Written
			}
			if got := j.Judge(scan, s); (got.Status == report.Accepted) != (c.Want == exceptiontest.Excepted) {
				t.Errorf("%s %q, want it %s", got.Status, got.Message, c.Want)
			}
		})
	}
}
