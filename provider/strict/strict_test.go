package strict_test

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/strict"
)

type settings struct {
	Wait   metav1.Duration            `json:"wait"`
	Many   int64                      `json:"many"`
	Share  float64                    `json:"share"`
	On     bool                       `json:"open"`
	Name   string                     `json:"name"`
	Names  []string                   `json:"names"`
	Level  report.Severity            `json:"level"`
	Inner  struct{ Deep *bool }       `json:"inner"`
	ByName map[string]metav1.Duration `json:"byName"`
}

func TestAMistakeSaysWhatTheFieldMustBe(t *testing.T) {
	for text, want := range map[string]string{
		"wait: soon":              `wait: "soon" must be a duration such as 800ms, 30s or 1h`,
		"wait: 3":                 "wait: 3 must be a duration such as 800ms, 30s or 1h",
		"many: lots":              `many: "lots" must be a whole number`,
		"many: 1.5":               "many: 1.5 must be a whole number",
		"share: half":             `share: "half" must be a number`,
		"open: maybe":             `open: "maybe" must be true or false`,
		"name: 7":                 "name: 7 must be a text",
		"name: [a]":               "name: a list must be a text",
		"names: a":                `names: "a" must be a list`,
		"names: [a, {b: c}]":      "names[1]: an object must be a text",
		"level: Terrible":         `level: severity "Terrible" must be one of Critical, High, Medium, Low, Negligible, Unknown`,
		"level: 3":                "level: 3 must be a text",
		"inner: deep":             `inner: "deep" must be an object`,
		"inner: {Deep: 1}":        "inner.Deep: 1 must be true or false",
		"byName: {a: 1s, b: now}": `byName[b]: "now" must be a duration such as 800ms, 30s or 1h`,
		"- a":                     "must be an object",
		"nam: a":                  `unknown field "nam"`,
		"name: " + strings.Repeat("[", 3) + "]]]": "name: a list must be a text",
	} {
		err := strict.YAML([]byte(text), &settings{})
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if err := strict.YAML([]byte("{wait: 3s, many: 1, share: 0.5, open: true, name: a, names: [b], level: high, inner: {Deep: true}, byName: {a: 1s}}"), &settings{}); err != nil {
		t.Error(err)
	}
}

func TestAMistakeInAFlag(t *testing.T) {
	for args, want := range map[string]string{
		"--wait=soon": `--wait: "soon" must be a duration such as 800ms, 30s or 1h`,
		"--many=lots": `--many: "lots" must be a whole number`,
		"--on=maybe":  `--on: "maybe" must be true or false`,
		"--none=a":    "unknown flag: --none",
		"--waits=1s":  "unknown flag: --waits: did you mean --wait?",
	} {
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		fs.Duration("wait", 0, "")
		fs.Int64("many", 0, "")
		fs.Bool("on", false, "")
		if err := strict.FlagError(fs, fs.Parse([]string{args})); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}

func TestOneOf(t *testing.T) {
	if err := strict.OneOf("b", "a", "b"); err != nil {
		t.Error(err)
	}
	if err := strict.OneOf("c", "", "a", "b"); err == nil || err.Error() != "must be one of a, b" {
		t.Error(err)
	}
}

// Who wrote verify: off reads nothing of a false.
func TestAnUnquotedOffIsExplained(t *testing.T) {
	var into struct {
		Verify string `json:"verify"`
	}
	want := "verify: false must be a text: in YAML on, off, yes and no are true and false unless they are quoted"
	if err := strict.YAML([]byte("verify: off"), &into); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
