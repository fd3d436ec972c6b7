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
