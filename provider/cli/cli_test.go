package cli_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/cli"
)

func run(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := cli.Main(args, &out, &errs)
	return code, out.String(), errs.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMistakesAreExplained(t *testing.T) {
	rules := write(t, "custom.rego", "deny_image[msg] {\n  msg := nonsense(\n}\n")
	config := write(t, "config.yaml", "server: {budget: 0s}\n")
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"nonsense"}, 2, "unknown command"},
		{[]string{"serve", "--budget", "soon"}, 2, "--budget"},
		{[]string{"serve", "extra"}, 2, "extra"},
		{[]string{"serve", "--config", config}, 2, "server.budget"},
		{[]string{"serve", "--listen", "127.0.0.1:99999", "--data-dir", t.TempDir()}, 1, "server.listen"},
		{[]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--scanner-path", rules}, 1, "scanner"},
		{[]string{"scan"}, 2, "arg"},
		{[]string{"scan", "UPPER"}, 2, "UPPER"},
		{[]string{"scan", "nginx", "-o", "xml"}, 2, "table or json"},
		{[]string{"template", "--kind", "MyRules"}, 2, "rules"},
		{[]string{"template", "--kind", "MyRules", "--rules", "/does/not/exist"}, 2, "/does/not/exist"},
		{[]string{"template", "--kind", "my rules", "--rules", rules}, 2, "my rules"},
		{[]string{"template", "--kind", "MyRules", "--rules", rules}, 2, "custom.rego:3"},
		{[]string{"review", "--output", "xml"}, 2, ""},
	} {
		code, _, errs := run(t, tc.args...)
		if code != tc.code || !strings.Contains(errs, tc.want) || !strings.HasPrefix(errs, "error: ") && !strings.Contains(errs, "\nerror: ") {
			t.Errorf("%v: exit code %d, %q; want %d and %q", tc.args, code, errs, tc.code, tc.want)
		}
	}
}

func TestTemplatePrintsAConstraintTemplate(t *testing.T) {
	rules := write(t, "custom.rego", `
deny_image[msg] {
  input.ScanReport.Status != "accepted"
  msg := sprintf("not accepted: %s", [input.ScanReport.Status])
}
`)
	code, out, errs := run(t, "template", "--kind", "MyRules", "--rules", rules)
	if code != 0 || !strings.Contains(out, "kind: ConstraintTemplate") || !strings.Contains(out, "kind: MyRules") || !strings.Contains(out, "not accepted: %s") {
		t.Errorf("exit code %d, %s\n%s", code, errs, out)
	}
}

func TestScanOfAnUnreachableImageHasNoReport(t *testing.T) {
	for output, want := range map[string]string{"table": "Status:  scan_failed", "json": `"Status": "scan_failed"`} {
		code, out, errs := run(t, "scan", "127.0.0.1:1/app:v1", "-o", output,
			"--insecure-registries", "127.0.0.1:1", "--scanner-url", "http://127.0.0.1:1", "--data-dir", t.TempDir())
		if code != 2 || !strings.Contains(out, want) || !strings.Contains(out, "cannot be reached") || !strings.Contains(errs, "scanning 127.0.0.1:1/app:v1") {
			t.Errorf("%s: exit code %d\n%s\n%s", output, code, out, errs)
		}
	}
}

func TestAMisspelledVariableIsRefused(t *testing.T) {
	t.Setenv("IMAGEGATE_SEVERITY_TRESHOLD", "low")
	for _, args := range [][]string{{"serve"}, {"scan", "nginx"}, {"review"}} {
		if code, _, errs := run(t, args...); code != 2 || !strings.Contains(errs, "IMAGEGATE_SEVERITY_TRESHOLD, which stands for no flag: did you mean IMAGEGATE_SEVERITY_THRESHOLD?") {
			t.Errorf("%v: exit code %d, %q", args, code, errs)
		}
	}
}
