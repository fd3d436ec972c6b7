package librarylog

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	logger "github.com/anchore/go-logger"
)

func TestWarningsOnly(t *testing.T) {
	var out bytes.Buffer
	w := warnings{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	w.Info("progress")
	w.Debugf("%d of %d", 1, 2)
	w.WithFields("package", "minimist").Trace("progress")
	if out.Len() > 0 {
		t.Errorf("progress is logged: %s", out.String())
	}
	w.Nested("cataloger", "npm").WithFields("error", errors.New("odd")).Warn("matcher returned error")
	w.WithFields(logger.Fields{"file": "/a"}).Errorf("%d files", 3)
	for _, part := range []string{`level=WARN msg="matcher returned error" cataloger=npm error=odd`, `level=ERROR msg="3 files" file=/a`} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %s in %s", part, out.String())
		}
	}
}
