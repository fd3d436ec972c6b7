package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/e2e/registry"
)

// ran is what a command of the provider printed.
type ran struct {
	code           int
	stdout, stderr string
}

// provider runs a command of the provider's program as a user would.
func provider(t *testing.T, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), shared.Programs.Provider, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ran{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// wants fails the test unless the command ended with the code and printed the
// texts.
func (r ran) wants(t *testing.T, code int, texts ...string) ran {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d: %s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout, text) {
			t.Errorf("the output lacks %q: %s%s", text, r.stdout, r.stderr)
		}
	}
	return r
}

// providerConfig is the configuration of the provider that runs: with it a
// command scans with the same scanner and the same credentials.
func providerConfig() string { return filepath.Join(shared.Dir, "system", "provider.yaml") }

// reviewArgs judges a Pod by the repository's accepted-only constraint.
func reviewArgs(t *testing.T, image string, more ...string) []string {
	t.Helper()
	object := filepath.Join(t.TempDir(), "pod.yaml")
	if err := os.WriteFile(object, []byte(pod("default", "app", image)), 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{
		"review", "--templates=" + filepath.Join(shared.Root, "templates"),
		"--constraints=" + filepath.Join(shared.Root, "constraints", "accepted-only"), "--file=" + object,
	}, more...)
}

// What nobody has scanned is scanned for the review, by the scanner and from
// the registry that the cluster uses.
func TestReviewScansLive(t *testing.T) {
	clean, vulnerable := sample(t, registry.Fixed), pushLabelled(t, registry.Vulnerable, "vulnerable")
	config := "--config=" + providerConfig()
	provider(t, reviewArgs(t, clean.Ref, config)...).wants(t, 0, "allowed", "Pod default/app", clean.Ref)
	provider(t, reviewArgs(t, vulnerable.Ref, config)...).wants(t, 1,
		append(advisory, "denied", "[accepted-only] Image '"+vulnerable.Ref+"' REJECTED. Global default policy - scan result is 'reject': ")...)
	provider(t, reviewArgs(t, clean.Ref+"-unknown", config)...).wants(t, 1, "denied", "scan failed", "v1-unknown")
}

// A running provider is asked as Gatekeeper asks it: with a client certificate.
func TestReviewAsksARunningProvider(t *testing.T) {
	clean, vulnerable := sample(t, registry.Fixed), pushLabelled(t, registry.Vulnerable, "vulnerable")
	certs := filepath.Join(shared.Dir, "system", "certs", "mutator")
	asks := []string{"--provider-url=" + shared.System.Provider.URL, "--provider-ca=" + certs + "/ca.crt"}
	identified := slices.Concat(asks, []string{"--provider-client-cert=" + certs + "/tls.crt", "--provider-client-key=" + certs + "/tls.key"})
	provider(t, reviewArgs(t, clean.Ref, identified...)...).wants(t, 0, "allowed", clean.Ref)
	provider(t, reviewArgs(t, vulnerable.Ref, identified...)...).wants(t, 1, append(advisory, "denied")...)

	// What a Pod's author would read in the cluster is what the review printed.
	ns := namespace(t, denyPolicy)
	settle(t, pod(ns, "app", vulnerable.Pinned)).denied(t, advisory...)

	// Nobody without a certificate learns anything, and that denies.
	provider(t, reviewArgs(t, clean.Ref, asks...)...).wants(t, 1, "denied", "scan failed", "could not be asked", "client certificate", "is required")
}

// scannedReport is what the JSON output is checked for.
type scannedReport struct {
	ImageAndTag, Status, Digest, Message, Scanner string
	Summary                                       struct{ Total int }
	Vulnerabilities                               []struct {
		ID, Package, Installed, Fixed, Severity string
		Aliases                                 []string
	}
	InnerReport json.RawMessage
}

func TestScanCommand(t *testing.T) {
	clean, vulnerable := sample(t, registry.Fixed), pushLabelled(t, registry.Vulnerable, "vulnerable")
	scan := func(image string, more ...string) ran {
		return provider(t, append([]string{"scan", "--config=" + providerConfig(), image}, more...)...)
	}
	table := scan(vulnerable.Ref).wants(t, 1, "rejected", vulnerable.Digest, "SEVERITY", "CVE-2022-32149", "golang.org/x/text", "v0.3.5", "0.3.8")
	t.Logf("provider scan:\n%s", table.stdout)
	scan(clean.Ref).wants(t, 0, "accepted", clean.Digest)
	scan(clean.Ref+"-unknown").wants(t, 2, "scan_failed")

	var report scannedReport
	out := scan(vulnerable.Ref, "--output=json").wants(t, 1)
	if err := json.Unmarshal([]byte(out.stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, out.stdout)
	}
	if report.ImageAndTag != vulnerable.Ref || report.Status != "rejected" || report.Digest != vulnerable.Digest || report.Scanner == "" {
		t.Errorf("the report's head is wrong: %+v", report)
	}
	if !strings.HasPrefix(report.Message, advisory[0]) {
		t.Errorf("the message does not begin with the worst finding: %s", report.Message)
	}
	if n := len(report.Vulnerabilities); n == 0 || n != report.Summary.Total {
		t.Errorf("%d findings in the list and %d in the summary", n, report.Summary.Total)
	}
	if len(report.Vulnerabilities) > 0 && !strings.HasPrefix(report.Message, report.Vulnerabilities[0].ID) {
		t.Errorf("the message does not call the worst finding %s as the list does: %s", report.Vulnerabilities[0].ID, report.Message)
	}
	if len(report.InnerReport) == 0 {
		t.Error("the full report lacks the scanner's own")
	}
}
