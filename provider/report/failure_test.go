package report_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
)

// A media type of 3 MB became a message of 3 MB, which was kept, logged and sent.
func TestFailuresAreCutAndCleaned(t *testing.T) {
	cause := errors.New(strings.Repeat("x", 3<<20))
	long := &report.Failure{Reason: report.ReasonUnsupported, Message: "it has the media type " + strings.Repeat("\x00é", 1<<20), Err: cause}
	for name, err := range map[string]error{"failure": long, "any error": cause} {
		f := report.FailureOf(err)
		if len(f.Message) > 512 || strings.Contains(f.Message, "\x00") || len(f.Err.Error()) > 4096 || errors.Is(f, cause) {
			t.Errorf("%s: a message of %d bytes, a cause of %d", name, len(f.Message), len(f.Err.Error()))
		}
	}
	if f := report.FailureOf(long); f.Reason != report.ReasonUnsupported || !strings.HasPrefix(f.Message, "it has the media type  ") {
		t.Errorf("%s %q", f.Reason, f.Message[:40])
	}
	short := errors.New("short")
	if f := report.FailureOf(&report.Failure{Message: "m", Err: short}); !errors.Is(f, short) {
		t.Error("a short cause is gone")
	}
}
