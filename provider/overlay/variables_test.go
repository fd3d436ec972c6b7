package overlay_test

import (
	"testing"

	"github.com/spf13/pflag"

	"github.com/imagegate/imagegate/provider/overlay"
)

func TestAVariableThatStandsForNothingIsRefused(t *testing.T) {
	type settings struct{ SeverityThreshold, Budget string }
	s := overlay.Source[settings]{
		Prefix:   "IMAGEGATE_",
		Defaults: func() settings { return settings{} },
		Bind: func(fs *pflag.FlagSet, c *settings) {
			fs.StringVar(&c.SeverityThreshold, "severity-threshold", "", "")
			fs.StringVar(&c.Budget, "budget", "", "")
		},
	}
	for variable, want := range map[string]string{
		"IMAGEGATE_SEVERITY_TRESHOLD=low":                "the environment has IMAGEGATE_SEVERITY_TRESHOLD, which stands for no flag: did you mean IMAGEGATE_SEVERITY_THRESHOLD?",
		"IMAGEGATE_BUGDET=":                              "the environment has IMAGEGATE_BUGDET, which stands for no flag: did you mean IMAGEGATE_BUDGET?",
		"IMAGEGATE_SOMETHING_ELSE=1":                     "the environment has IMAGEGATE_SOMETHING_ELSE, which stands for no flag",
		"IMAGEGATE_SEVERITY_THRESHOLD=low":               "",
		"IMAGEGATE_CONFIG=a":                             "",
		"IMAGEGATE_MUTATOR_WAIT=1s":                      "",
		"PATH=/bin":                                      "",
		"IMAGEGATE_SERVICE_HOST=10.0.0.1":                "",
		"IMAGEGATE_PROVIDER_SERVICE_PORT_HTTPS=443":      "",
		"IMAGEGATE_PORT=tcp://10.0.0.1:443":              "",
		"IMAGEGATE_PROVIDER_PORT_443_TCP_ADDR=127.0.0.1": "",
	} {
		got := ""
		if err := s.CheckVariables([]string{variable}, "IMAGEGATE_MUTATOR_"); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", variable, got, want)
		}
	}
}
