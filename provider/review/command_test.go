package review

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/exit"
)

func execute(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	cmd := Command(nil)
	var out, errOut bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestCommandsExitCodes(t *testing.T) {
	common := []string{"--templates", "testdata/templates", "--constraints", "testdata/constraints", "--reports", "testdata/reports/reports.yaml"}
	for name, tt := range map[string]struct {
		args []string
		code int
		want string
	}{
		"allowed":        {append(common, "-f", "testdata/objects/pod-good.yaml"), 0, ""},
		"denied":         {append(common, "-f", "testdata/objects/pod-good.yaml,testdata/objects/pod-bad.yaml"), 1, "exit code 1"},
		"error":          {append(common, "-f", "nowhere.yaml"), 2, "nowhere.yaml"},
		"unknown flag":   {[]string{"--nonsense"}, 2, "unknown flag: --nonsense"},
		"bad flag value": {[]string{"--wait", "long"}, 2, "--wait"},
		"argument":       {append(common, "stray.yaml"), 2, `unexpected argument "stray.yaml": repeat the flag`},
		"suite":          {[]string{"--suite", "testdata/suites/..."}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := execute(t, tt.args...)
			var coded *exit.Error
			switch {
			case tt.code == 0 && err != nil:
				t.Errorf("got error %v", err)
			case tt.code == 0:
			case !errors.As(err, &coded) || coded.Code != tt.code || !strings.Contains(coded.Error(), tt.want):
				t.Errorf("got error %v, want code %d, %q", err, tt.code, tt.want)
			}
		})
	}
}

func TestCommandsJSONIsTheContract(t *testing.T) {
	stdout, err := execute(t, "--templates", "testdata/templates", "--constraints", "testdata/constraints/status.yaml",
		"--reports", "testdata/reports/reports.yaml", "--file", "testdata/objects/pod-bad.yaml", "-o", "json")
	var coded *exit.Error
	if !errors.As(err, &coded) || coded.Unwrap() != nil {
		t.Errorf("got error %v", err)
	}
	var got struct {
		Results []struct {
			Object     string
			Allowed    bool
			Violations []map[string]string
			Scanned    []string
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	r := got.Results[0]
	want := map[string]string{
		"constraint":        "TestStatus/accepted-only",
		"enforcementAction": "deny",
		"msg":               "container app: image registry.example/bad:1 is rejected by nobody",
	}
	if r.Object != "shop/bad" || r.Allowed || len(r.Violations) != 1 || len(r.Scanned) != 2 {
		t.Fatalf("got %+v", r)
	}
	for field, value := range want {
		if r.Violations[0][field] != value {
			t.Errorf("%s is %q, want %q", field, r.Violations[0][field], value)
		}
	}
}
