package node_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/e2e/build"
	programs "github.com/imagegate/imagegate/e2e/kubectl" // kubectl is a function here
)

// ownPrograms are imagegate's, for this machine.
func ownPrograms(t *testing.T) build.Programs {
	t.Helper()
	root, err := build.Root()
	if err != nil {
		t.Fatal(err)
	}
	own, err := build.Imagegate(t.Context(), root, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// plugin is kubectl with the plugin at that path.
func plugin(t *testing.T, path string) func(args ...string) (out string, code int) {
	t.Helper()
	k := on.Kubectl
	k.Plugins = filepath.Dir(path)
	return func(args ...string) (string, int) {
		t.Helper()
		out, err := k.Run(t.Context(), nil, append([]string{"imagegate"}, args...)...)
		code, err := programs.Code(err)
		if err != nil {
			t.Fatal(err)
		}
		return out, code
	}
}

// reportPages are asked over a forwarded port, with the Pod "old" of the vulnerable image
// that runs in the namespace since before there was a policy.
func reportPages(t *testing.T, r release, namespace string) {
	path := ownPrograms(t).Plugin
	imagegate := plugin(t, path)
	told := func(code int, wants []string, args ...string) {
		t.Helper()
		eventually(t, func() error {
			out, got := imagegate(args...)
			for _, want := range wants {
				if !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
					return fmt.Errorf("kubectl imagegate %s has no %q: %d\n%s", strings.Join(args, " "), want, got, out)
				}
			}
			if got != code {
				return fmt.Errorf("kubectl imagegate %s: exit code %d, not %d\n%s", strings.Join(args, " "), got, code, out)
			}
			return nil
		})
	}
	told(0, []string{"NAMESPACE WORKLOAD IMAGE VERDICT PODS AGE WHY", namespace + " Pod/old", " rejected 1 ", "CVE-2022-32149", namespace + " Pod/app", " accepted 1 "}, "get", "-n", namespace)
	told(0, []string{`"workload": "Pod/old"`, `"total": 1`}, "get", "-n", namespace, "--status=rejected", "-o", "json")
	told(1, []string{namespace + " Pod/old", "CVE-2022-32149 in golang.org/x/text v0.3.5, fixed in 0.3.8", "it is not known what is in them"}, "affected", "CVE-2022-32149")
	told(1, []string{namespace + " Pod/old"}, "affected", "pkg:golang/golang.org/x/text@v0.3.5", "--provider-namespace", r.namespace)
	told(2, []string{"no workload is known to run it, and not all is known"}, "affected", "CVE-2099-1")
	told(0, []string{namespace + " Pod/old", " rejected accepted 1 "}, "what-if", "--threshold", "Critical")
	told(0, []string{"VULNERABILITY STATE UNTIL"}, "exceptions")
	told(2, []string{"is forbidden", "say where it is by --provider-namespace"}, "get", "--as=nobody")
	told(2, []string{"imagegate is not installed there"}, "get", "--provider-namespace=default")

	cmd := exec.CommandContext(t.Context(), path, "ui", "--browser=false", "--kubeconfig="+on.Kubectl.Kubeconfig)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	page, err := http.Get(strings.TrimSpace(address) + "/running?namespace=" + namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = page.Body.Close() }()
	text, err := io.ReadAll(page.Body)
	if err != nil || page.StatusCode != http.StatusOK || !strings.Contains(string(text), "Pod/old") {
		t.Errorf("%d %v\n%s", page.StatusCode, err, text)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("Ctrl-C ends it with %v", err)
	}
	kubectl(t, "-n", namespace, "delete", "pod", "old", "--grace-period=1")
}
