package templates_test

import (
	"strings"
	"testing"

	"github.com/imagegate/imagegate/templates"
)

func TestRulesAreJoined(t *testing.T) {
	options := templates.CustomOptions{Kind: "MyRules", ScanRules: true}
	join := func(pre, post string) (string, error) {
		text, err := templates.JoinRules(options, templates.Rules{File: "preCustomRules", Text: []byte(pre)}, templates.Rules{File: "customRules", Text: []byte(post)})
		if err != nil || len(text) == 0 {
			return "", err
		}
		made, err := templates.Custom(text, options)
		return string(made), err
	}
	const pre = "package imagegate\n\nallow_pod { PodOK }\nPodOK { input.PodObject.metadata.name == \"a\" }\n"
	const post = "package imagegate\n\ndeny_image[msg] { input.ScanReport.Status == \"rejected\"; msg := \"no\" }\n"
	made, err := join(pre, post)
	if err != nil || !strings.Contains(made, "allow_pod") || !strings.Contains(made, "deny_image[msg]") {
		t.Errorf("%v: %s", err, made)
	}
	for _, c := range []struct{ name, pre, post, want string }{
		{"an error has its own file and line", pre, "package x\n\ndeny_image[msg] {\n  msg := nothing\n}\n", "customRules:4"},
		{"the other file", "deny_pod[msg] { msg := nothing }", post, "preCustomRules:1"},
		{"one name twice", pre, post + "PodOK { true }\n", "preCustomRules and customRules both define PodOK"},
		{"two languages", "allow_pod { input.PodObject.metadata.a }", "deny_image contains msg if { msg := input.ScanReport.Message }", "write both in one"},
	} {
		if _, err := join(c.pre, c.post); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v lacks %q", c.name, err, c.want)
		}
	}
	for _, none := range []string{"", "\n\n", "# nothing yet\n", "package a # x\n#b\n"} {
		if made, err := join(none, none); made != "" || err != nil {
			t.Errorf("%q: %v, %s", none, err, made)
		}
	}
	if made, err := join("# nothing", post); err != nil || !strings.Contains(made, "deny_image[msg]") {
		t.Errorf("one alone: %v, %s", err, made)
	}
}
