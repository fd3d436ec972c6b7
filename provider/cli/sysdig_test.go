package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/imagegate/imagegate/provider/backend/anchore/anchoretest"
)

// articleRules read the scanner's own report down to its rows, and the
// AdmissionRequest, as rules written for Sysdig's admission controller do.
const articleRules = `
failed_checks[check] {
  row := input.ScanReport.InnerReport.detail.result.result[_].result.rows[_]
  row[6] == "stop"
  check := row[5]
}

deny_image[msg] {
  input.AdmissionRequest.namespace != "dev"
  input.ScanReport.Status == "rejected"
  msg := sprintf("%s fails %d checks of policy %s", [input.ScanReport.ImageAndTag, count(failed_checks), input.ScanReport.InnerReport.policyId])
}
`

const articleConstraint = `
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: ArticleRules
metadata: {name: article}
spec:
  match: {kinds: [{apiGroups: [""], kinds: [Pod]}]}
`

func pushImage(t *testing.T) (host, image string) {
	t.Helper()
	reg := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(reg.Close)
	host = strings.TrimPrefix(reg.URL, "http://")
	image = host + "/airadier/test:bad"
	ref, err := name.ParseReference(image, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	content, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, content); err != nil {
		t.Fatal(err)
	}
	return host, image
}

// TestSysdigReportReachesTheRules is the installation of the article ("Performing Image
// Scanning on Admission Controller with OPA",
// https://sysdig.com/blog/image-scanning-admission-controller/) without a
// cluster: Sysdig's API (its documented wire format, served by anchoretest), a
// real registry, and rules over InnerReport judged by Gatekeeper's engine.
func TestSysdigReportReachesTheRules(t *testing.T) {
	host, image := pushImage(t)
	sysdig := anchoretest.New(anchoretest.Options{
		API:           anchoretest.Sysdig,
		Authorization: "Basic czNjcmV0Og==", // the token as user, an empty password
		Images:        func(string) anchoretest.Image { return anchoretest.Image{Pending: 1, Action: "stop"} },
	})
	defer sysdig.Close()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := file("token", "s3cret\n")
	config := file("config.yaml", fmt.Sprintf(
		"registry: {insecure: [%q]}\nscanner: {anchore: {url: %q, api: sysdig, tokenFile: %q, pollInterval: 20ms}}\n", host, sysdig.URL, token))

	code, out, errs := run(t, "scan", image, "-o", "json", "--config", config)
	var scanned struct {
		Status      string
		InnerReport struct {
			Detail   map[string]any `json:"detail"`
			At       string         `json:"last_evaluation"`
			PolicyID string         `json:"policyId"`
			Status   string         `json:"status"`
		}
	}
	if err := json.Unmarshal([]byte(out), &scanned); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, errs)
	}
	inner := scanned.InnerReport
	if code != 1 || scanned.Status != "rejected" || inner.Status != "fail" || inner.PolicyID == "" || inner.At == "" || inner.Detail["result"] == nil {
		t.Errorf("exit code %d, %s\n%s", code, out, errs)
	}

	code, template, errs := run(t, "template", "--kind", "ArticleRules", "--rules", file("rules.rego", articleRules))
	if code != 0 {
		t.Fatal(errs)
	}
	templates, constraints := file("template.yaml", template), file("constraint.yaml", articleConstraint)
	pod := file("pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: app}\nspec: {containers: [{name: app, image: "+image+"}]}\n")
	review := []string{"review", "--templates", templates, "--constraints", constraints, "--file", pod, "--config", config, "-o", "json", "-n"}
	if code, out, errs := run(t, append(review, "default")...); code != 1 || !strings.Contains(out, image+" fails ") || strings.Contains(out, "fails 0 checks") {
		t.Errorf("in default: exit code %d, %s\n%s", code, out, errs)
	}
	if code, out, errs := run(t, append(review, "dev")...); code != 0 {
		t.Errorf("in dev: exit code %d, %s\n%s", code, out, errs)
	}
}
