package verdict

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestEndsAreLoggedOnceADay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "exceptions.yaml")
	const file = `
- {cve: CVE-ENDED, images: [nginx], expires: 2026-10-01, reason: r}
- {cve: CVE-SOON, images: [nginx], expires: 2026-11-14, reason: r}
- {cve: CVE-LATER, images: [nginx], expires: 2026-11-15, reason: r}
`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	metrics := prometheus.NewRegistry()
	j, err := New(Options{
		ExceptionsFile: path, Now: func() time.Time { return now }, Registerer: metrics,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after                    time.Duration
		ended, soon, laterEnding int
	}{
		{0, 1, 1, 0},
		{time.Hour, 0, 0, 0},
		{23 * time.Hour, 1, 1, 1},
		{23 * time.Hour, 0, 0, 0},
		{time.Hour, 1, 1, 1},
		{12 * 24 * time.Hour, 1, 1, 1}, // 15 November: SOON has ended
	} {
		now = now.Add(step.after)
		log.Reset()
		j.remind(t.Context())
		for cve, want := range map[string]int{"CVE-ENDED": step.ended, "CVE-SOON": step.soon, "CVE-LATER": step.laterEnding} {
			if got := strings.Count(log.String(), "cve="+cve); got != want {
				t.Errorf("%s: %s is logged %d times, want %d:\n%s", now, cve, got, want, &log)
			}
		}
	}
	if !strings.Contains(log.String(), `msg="an exception has ended and does nothing; delete or renew it" cve=CVE-SOON images=[index.docker.io/library/nginx] expires=2026-11-14 reason=r`) {
		t.Errorf("log:\n%s", &log)
	}
	const want = `# HELP imagegate_exceptions Exceptions by state: active, expiring (within 14 days; still in force) and expired.
# TYPE imagegate_exceptions gauge
imagegate_exceptions{state="active"} 0
imagegate_exceptions{state="expired"} 2
imagegate_exceptions{state="expiring"} 1
`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "imagegate_exceptions"); err != nil {
		t.Error(err)
	}
}
