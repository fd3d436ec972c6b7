package cli_test

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/cli"
	"github.com/imagegate/imagegate/provider/version"
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
		{[]string{"scan"}, 2, "provider scan takes one IMAGE, and there are 0"},
		{[]string{"scan", "nginx", "--exeptions", "x"}, 2, "unknown flag: --exeptions: did you mean --exceptions?"},
		{[]string{"scan", "http://ghcr.io/a/b"}, 2, "a reference has no http://"},
		{[]string{"scan", "UPPER"}, 2, "upper case"},
		{[]string{"scan", "nginx", "-o", "xml"}, 2, "table, json or html"},
		{[]string{"scan", "nginx", "--pull-secret", "pull"}, 2, "need --namespace and --pull-secrets"},
		{[]string{"scan", "nginx", "--platform", "linux/amd46"}, 2, "--platform: platform \"linux/amd46\": no architecture is called amd46: did you mean amd64?"},
		{[]string{"scan", "nginx", "--platform", "linux"}, 2, "--platform: platform \"linux\": want os/arch"},
		{[]string{"scan", "nginx", "--listen", "127.0.0.1:1"}, 2, "unknown flag"},
		{[]string{"scan", "nginx", "--scanner-database-file", "/does/not/exist"}, 2, "scanner.bundled.databaseFile"},
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

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if code, out, errs := run(t, args...); code != 0 || !strings.HasPrefix(out, "provider "+version.Number+" (go1.") || strings.Count(out, "\n") != 1 || errs != "" {
			t.Errorf("%v: exit code %d, %s%s", args, code, out, errs)
		}
	}
}

// The help of scan has what a scan needs, and nothing of a server's.
func TestScanHelp(t *testing.T) {
	code, out, _ := run(t, "scan", "--help")
	for _, want := range []string{"--namespace", "--platform", "--docker-config", "--scanner-database-file", "Exit codes: 0 accepted", "docker login"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, and the help lacks %s", code, want)
		}
	}
	for _, not := range []string{"--listen", "--client-ca", "--nats-url", "--shutdown", "--verbose-log", "--nudge"} {
		if strings.Contains(out, not) {
			t.Errorf("the help has %s", not)
		}
	}
}

// The help of health has what tells where a provider serves, and no other setting.
func TestHealthHelp(t *testing.T) {
	_, out, _ := run(t, "health", "--help")
	_, flags, _ := strings.Cut(out, "Flags:\n")
	var got []string
	for line := range strings.Lines(flags) {
		if _, flag, ok := strings.Cut(line, "--"); ok {
			got = append(got, "--"+strings.Fields(flag)[0])
		}
	}
	want := []string{"--ca", "--config", "--data-dir", "--help", "--listen", "--live", "--need", "--probes", "--tls-cert", "--url", "--wait"}
	if !slices.Equal(got, want) {
		t.Errorf("the help has %v, want %v", got, want)
	}
}

// Ctrl-C ends a command in a moment with one line, whatever it waits for.
func TestCtrlC(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody answers there
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	host := silent.Addr().String()
	for signal, want := range map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143} {
		time.AfterFunc(500*time.Millisecond, func() { _ = syscall.Kill(os.Getpid(), signal.(syscall.Signal)) })
		began := time.Now()
		code, out, errs := run(t, "scan", host+"/app:v1", "--insecure-registries", host, "--scanner-url", "http://127.0.0.1:1", "--data-dir", t.TempDir())
		lines := strings.Split(strings.TrimSpace(errs), "\n")
		if code != want || out != "" || len(lines) != 3 || strings.Contains(lines[2], " ") || time.Since(began) > 4*time.Second {
			t.Errorf("exit code %d after %s: %s%q", code, time.Since(began), out, lines)
		}
	}
}

func TestScanOfAnUnreachableImageHasNoReport(t *testing.T) {
	for output, want := range map[string]string{"table": "Status:  scan_failed", "json": `"Status": "scan_failed"`, "html": `<strong class="status scan_failed">`} {
		code, out, errs := run(t, "scan", "127.0.0.1:1/app:v1", "-o", output,
			"--insecure-registries", "127.0.0.1:1", "--scanner-url", "http://127.0.0.1:1", "--data-dir", t.TempDir())
		if code != 2 || !strings.Contains(out, want) || !strings.Contains(out, "registry 127.0.0.1:1 cannot be reached: ") || !strings.Contains(out, "connection refused") || !strings.Contains(errs, "scanning 127.0.0.1:1/app:v1") {
			t.Errorf("%s: exit code %d\n%s\n%s", output, code, out, errs)
		}
	}
}

// What a registry that answers in plain HTTP is missing is a flag.
func TestScanFromAPlainRegistrySaysWhichFlagIsMissing(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	code, out, _ := run(t, "scan", plain.Listener.Addr().String()+"/app:v1", "--scanner-url", "http://127.0.0.1:1", "--data-dir", t.TempDir())
	if code != 2 || !strings.Contains(out, "registry.insecure (--insecure-registries)") || strings.Contains(out, "log") {
		t.Errorf("exit code %d\n%s", code, out)
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
