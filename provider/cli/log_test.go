package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/config"
)

func TestNoLineOfTheLogIsAsLongAsWhatOthersWrite(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	for _, format := range []string{"json", "text"} {
		var b bytes.Buffer
		log, err := logger(config.Log{Level: "info", Format: format}, &b)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("m", "text", long, "error", errors.New(long))
		if b.Len() > 100_000 || !strings.Contains(b.String(), "xxx...") {
			t.Errorf("%s: a line of %d bytes", format, b.Len())
		}
	}
}
