package pause_test

import (
	"context"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/pause"
)

func TestFor(t *testing.T) {
	if !pause.For(t.Context(), time.Millisecond) {
		t.Error("a pause that is over counts as cut off")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, d := range []time.Duration{0, time.Hour} {
		if pause.For(ended, d) {
			t.Errorf("a pause of %s was waited for although nobody wanted it", d)
		}
	}
}
