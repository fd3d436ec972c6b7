package metrics

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
)

type source struct{ built bool }

func (source) Waiting() int { return 3 }
func (s source) DatabaseBuiltAt() (time.Time, bool) {
	return time.Unix(1700000000, 0), s.built
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestScansAreCounted(t *testing.T) {
	m := New(source{built: true})
	before := scrape(t, m)
	for _, code := range append(failure.Codes(), done) {
		if line := `imagegate_worker_scans_total{result="` + string(code) + `"} 0` + "\n"; !strings.Contains(before, line) {
			t.Errorf("not there from the start: %s", line)
		}
	}
	for _, err := range []error{nil, nil, failure.New(failure.Timeout, "long"), errors.New("odd")} {
		scan := m.Observe(func(context.Context, harbor.ScanRequest) ([]byte, error) {
			if !strings.Contains(scrape(t, m), "imagegate_worker_running_scans 1\n") {
				t.Error("a running scan is not counted")
			}
			return []byte("report"), err
		})
		if report, got := scan(t.Context(), harbor.ScanRequest{}); string(report) != "report" || !errors.Is(got, err) {
			t.Errorf("the scan's result is changed: %s %v", report, got)
		}
	}
	after := scrape(t, m)
	for _, line := range []string{
		`imagegate_worker_scans_total{result="ok"} 2`,
		`imagegate_worker_scans_total{result="timeout"} 1`,
		`imagegate_worker_scans_total{result="internal"} 1`,
		`imagegate_worker_running_scans 0`,
		`imagegate_worker_queued_scans 3`,
		`imagegate_worker_scan_duration_seconds_count 4`,
		`imagegate_worker_database_built_timestamp_seconds 1.7e+09`,
	} {
		if !strings.Contains(after, line+"\n") {
			t.Errorf("no %s in\n%s", line, after)
		}
	}
}

func TestWithoutDatabase(t *testing.T) {
	if text := scrape(t, New(source{})); !strings.Contains(text, "imagegate_worker_database_built_timestamp_seconds 0\n") {
		t.Error(text)
	}
}
