package cli

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend/attached"
	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/backend/harbor"
	"github.com/imagegate/imagegate/provider/config"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// A stored scan outlives the configuration that it was made under: what counts is
// the present setting of the scanner that made it, not that of another.
func TestSilenceThatWasStoredCountsByThePresentSetting(t *testing.T) {
	accept, reject := config.Harbor{URL: "http://trivy", EmptyReport: harbor.Accept}, config.Harbor{URL: "http://trivy", EmptyReport: harbor.Reject}
	team := config.ScannerRoute{Prefix: "ghcr.io/team", Backend: config.Backend{Harbor: config.Harbor{URL: "http://clair", EmptyReport: harbor.Accept}}}
	strict := config.ScannerRoute{Prefix: "ghcr.io/team", Backend: config.Backend{Harbor: config.Harbor{URL: "http://clair"}}}
	renamed := accept
	renamed.URL = "http://trivy.new"
	main := report.Scan{Scanner: "Trivy v0.60.0", ScannedAt: time.Now(), Believed: mainName}
	route := report.Scan{Scanner: "Clair", ScannedAt: time.Now(), Believed: routeName("ghcr.io/team")}
	signed := report.Scan{Scanner: "Trivy", ScannedAt: time.Now(), Believed: attached.Believed, Attached: true, SignedBy: []string{"k"}}
	for name, tc := range map[string]struct {
		now  config.Scanner
		scan report.Scan
		want report.Status
	}{
		"accept, as when it was made":             {config.Scanner{Backend: config.Backend{Harbor: accept}}, main, report.Accepted},
		"accept, at another address":              {config.Scanner{Backend: config.Backend{Harbor: renamed}}, main, report.Accepted},
		"now reject":                              {config.Scanner{Backend: config.Backend{Harbor: reject}}, main, report.ScanFailed},
		"now reject, and a route that accepts":    {config.Scanner{Backend: config.Backend{Harbor: reject}, Routes: []config.ScannerRoute{team}}, main, report.ScanFailed},
		"now reject, and attached reports may":    {config.Scanner{Backend: config.Backend{Harbor: reject}, Attached: config.Attached{Unstated: config.UnstatedAccept}}, main, report.ScanFailed},
		"the default, which is reject":            {config.Scanner{}, main, report.ScanFailed},
		"a route's, which accepts":                {config.Scanner{Backend: config.Backend{Harbor: reject}, Routes: []config.ScannerRoute{team}}, route, report.Accepted},
		"a route's, which does not any more":      {config.Scanner{Backend: config.Backend{Harbor: accept}, Routes: []config.ScannerRoute{strict}}, route, report.ScanFailed},
		"of a route that is gone":                 {config.Scanner{Backend: config.Backend{Harbor: accept}}, route, report.ScanFailed},
		"an attached report's":                    {config.Scanner{Attached: config.Attached{Unstated: config.UnstatedAccept}}, signed, report.Accepted},
		"an attached report's, now to be scanned": {config.Scanner{Backend: config.Backend{Harbor: accept}}, signed, report.ScanFailed},
	} {
		c := config.Default()
		c.Scanner = tc.now
		judge, err := verdict.New(verdictOptions(&c, &parts{log: slog.New(slog.DiscardHandler), metrics: prometheus.NewRegistry()}))
		if err != nil {
			t.Fatal(err)
		}
		if got := judge.Judge(&tc.scan, verdict.Subject{Reference: "ghcr.io/team/app:1"}); got.Status != tc.want {
			t.Errorf("%s: %s (%s), want %s", name, got.Status, got.Message, tc.want)
		}
	}
}

// What was signed counts as long as somebody is configured to be trusted for it:
// a configuration without keys trusts nobody.
func TestWhatWasSignedDoesNotOutliveItsKeys(t *testing.T) {
	own, signed, vex := &report.Scan{}, &report.Scan{Attached: true, SignedBy: []string{"k"}}, &report.Scan{SignedBy: []string{"k"}}
	p := &parts{}
	if !p.trusts(own) || p.trusts(signed) || p.trusts(vex) {
		t.Errorf("without keys: a scan of one's own counts: %t, an attached report: %t, one with an attached VEX document: %t",
			p.trusts(own), p.trusts(signed), p.trusts(vex))
	}
	signer := attachedtest.NewSigner(t)
	finder, err := attached.New(attached.Options{Keys: [][]byte{signer.PEM(t)}})
	if err != nil {
		t.Fatal(err)
	}
	p.attachments = finder
	t.Cleanup(finder.Close)
	if !p.trusts(own) || p.trusts(signed) {
		t.Error("with another key than it was signed with an attached report counts")
	}
}
