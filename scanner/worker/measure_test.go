package worker_test

import (
	"os"
	"testing"
	"time"

	"github.com/imagegate/imagegate/scanner/worker"
)

// TestMeasure prints how long scans take with the binary named in
// SCANNER_BINARY, built as it is shipped.
func TestMeasure(t *testing.T) {
	binary := os.Getenv("SCANNER_BINARY")
	if binary == "" {
		t.Skip("SCANNER_BINARY is not set")
	}
	reg := startRegistry(t)
	digest := push(t, reg, "team/app", programImage(t, "vulnerable"))
	w := startWorker(t, func(c *worker.Config) { c.Command = []string{binary, "scan-one"} })
	for _, kind := range []string{"cold", "from the package list", "from the package list"} {
		start := time.Now()
		w.report(t, request(reg, "team/app", digest))
		t.Logf("%s: %s", kind, time.Since(start).Round(time.Millisecond))
	}
}
