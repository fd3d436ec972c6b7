package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestADurationSaysItsUnit(t *testing.T) {
	for format, want := range map[string]string{"json": `"duration":"1.5s"`, "text": "duration=1.5s"} {
		var b bytes.Buffer
		log, err := newLogger(&b, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("m", "duration", 1500*time.Millisecond)
		childLogger(&b).Info("m", "duration", 2*time.Second)
		if !strings.Contains(b.String(), want) || !strings.Contains(b.String(), `"duration":"2s"`) {
			t.Errorf("%s: %s", format, &b)
		}
	}
}
