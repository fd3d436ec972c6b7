package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/config"
)

// TestFilesOfScannersAreNamedByTheirSetting: a file that cannot be used at the
// start is an error with the field; one that can is followed from then on.
func TestFilesOfScannersAreNamedByTheirSetting(t *testing.T) {
	dir := t.TempDir()
	good, empty := filepath.Join(dir, "good"), filepath.Join(dir, "empty")
	for file, content := range map[string]string{good: "hunter2\n", empty: ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const url = "http://127.0.0.1:1"
	harbor := func(h config.Harbor) config.Backend {
		h.URL, h.Verify = url, config.VerifyOff
		return config.Backend{Harbor: h}
	}
	anchore := func(a config.Anchore) config.Backend { a.URL = url; return config.Backend{Anchore: a} }
	start := func(main, route config.Backend) (*parts, error) {
		p := &parts{metrics: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler)}
		err := p.startScanners(t.Context(), &config.Config{Scanner: config.Scanner{Backend: main, Routes: []config.ScannerRoute{{Prefix: "ghcr.io", Backend: route}}}})
		t.Cleanup(func() { _ = p.close(t.Context()) })
		return p, err
	}
	for want, b := range map[string]config.Backend{
		"harbor.tokenFile: " + empty + " is empty":           harbor(config.Harbor{TokenFile: empty}),
		"harbor.tokenFile: stat " + dir + "/none":            harbor(config.Harbor{TokenFile: dir + "/none"}),
		"harbor.caFile: " + good + " holds no PEM":           harbor(config.Harbor{CAFile: good}),
		"anchore.tokenFile: " + empty + " is empty":          anchore(config.Anchore{TokenFile: empty}),
		"anchore.passwordFile: " + empty + " is empty":       anchore(config.Anchore{User: "me", PasswordFile: empty}),
		"anchore.caFile: " + empty + " holds no PEM":         anchore(config.Anchore{CAFile: empty}),
		"anchore.passwordFile: " + dir + " is not a regular": anchore(config.Anchore{User: "me", PasswordFile: dir}),
	} {
		if _, err := start(b, harbor(config.Harbor{})); err == nil || !strings.HasPrefix(err.Error(), "scanner."+want) {
			t.Errorf("error %v does not begin with scanner.%s", err, want)
		}
		if _, err := start(harbor(config.Harbor{}), b); err == nil || !strings.HasPrefix(err.Error(), "scanner.routes[0]."+want) {
			t.Errorf("error %v does not begin with scanner.routes[0].%s", err, want)
		}
	}
	p, err := start(harbor(config.Harbor{TokenFile: good}), anchore(config.Anchore{User: "me", PasswordFile: good}))
	if err != nil || len(p.followed) != 2 {
		t.Errorf("%d files are followed, want 2 (%v)", len(p.followed), err)
	}
}
