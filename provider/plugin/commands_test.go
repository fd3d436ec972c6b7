package plugin

import (
	"testing"

	"github.com/imagegate/imagegate/provider/manualtest"
)

func TestCommandsAreDocumented(t *testing.T) {
	t.Setenv("HOME", "/home/you") // what kubectl's flags have by default is in it
	manualtest.Check(t, New(), "COMMANDS.md")
}
