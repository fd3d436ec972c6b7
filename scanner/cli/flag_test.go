package cli_test

import (
	"strings"
	"testing"

	"github.com/imagegate/imagegate/scanner/cli"
)

func TestAMistakeInAFlagSaysWhatItMustBe(t *testing.T) {
	root := cli.New()
	root.SetArgs([]string{"serve", "--scan-timeout=soon"})
	err := root.Execute()
	if err == nil || !strings.HasSuffix(err.Error(), `: "soon" must be a duration such as 800ms, 30s or 1h`) {
		t.Error(err)
	}
}

func TestAnUnknownFlagSaysWhichWasMeant(t *testing.T) {
	for flag, want := range map[string]string{
		"--scan-timout=1m": "unknown flag: --scan-timout: did you mean --scan-timeout?",
		"--worker=2":       "unknown flag: --worker: did you mean --workers?",
		"--nonsense":       "unknown flag: --nonsense",
	} {
		root := cli.New()
		root.SetArgs([]string{"serve", flag})
		if err := root.Execute(); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", flag, err, want)
		}
	}
}
