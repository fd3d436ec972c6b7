package logs_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/logs"
)

func TestNoLineOfTheLogIsAsLongAsWhatOthersWrite(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	for _, format := range []string{"json", "text"} {
		var b bytes.Buffer
		logs.New(&b, slog.LevelInfo, format).Info("m", "text", long, "error", errors.New(long))
		if b.Len() > 100_000 || !strings.Contains(b.String(), "xxx...") {
			t.Errorf("%s: a line of %d bytes", format, b.Len())
		}
	}
}

func TestADurationSaysItsUnit(t *testing.T) {
	for format, want := range map[string]string{"json": `"duration":"1.5s"`, "text": "duration=1.5s"} {
		var b bytes.Buffer
		logs.New(&b, slog.LevelInfo, format).Info("m", "duration", 1500*time.Millisecond)
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s: %s", format, &b)
		}
	}
}

// Provider, mutator and scanner each counted in another unit: one wrote
// nanoseconds, one took_ms.
func TestNoLogCountsTimeByItself(t *testing.T) {
	ownUnit := regexp.MustCompile(`"[A-Za-z_]+(_ms|_millis|_seconds|_secs|Ms|Millis|Seconds)", `)
	metric := regexp.MustCompile(`"(imagegate|gatekeeper|apiserver)_[a-z_]+", `) // Prometheus counts in seconds
	files := 0
	for _, module := range []string{"provider", "mutator", "scanner"} {
		err := filepath.WalkDir(filepath.Join("..", "..", module), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			for line := range strings.Lines(string(text)) {
				if ownUnit.MatchString(metric.ReplaceAllString(line, "")) && d.Name() != "metrics.go" {
					t.Errorf("%s: pass a time.Duration to the log: %s", path, strings.TrimSpace(line))
				}
				if loggerOfItsOwn(path, line) {
					t.Errorf("%s: make the logger by New: %s", path, strings.TrimSpace(line))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were read", files)
	}
}

// The scanner, a module of its own, makes its loggers in one place too.
func loggerOfItsOwn(path, line string) bool {
	switch filepath.ToSlash(path) {
	case "../../provider/logs/logs.go", "../../scanner/cli/log.go":
		return false
	}
	return strings.Contains(line, "slog.NewJSONHandler(") || strings.Contains(line, "slog.NewTextHandler(")
}
