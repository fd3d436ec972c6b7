package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/e2e/registry"
)

// violation is an entry of a constraint's status.
type violation struct {
	EnforcementAction, Kind, Message, Name, Namespace string
}

func TestAuditReportsWhatADryrunConstraintLetIn(t *testing.T) {
	ns := namespace(t, dryrunPolicy)
	img := sample(t, registry.Vulnerable)
	create(t, pod(ns, "vulnerable", img.Ref)).admitted(t)
	var found violation
	took := eventually(t, patience, func() error {
		out, err := shared.Cluster.Kubectl(t.Context(), "get", "imagescanpolicy", constraintOf(dryrunPolicy),
			"-o", "jsonpath={.status.violations}")
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		var violations []violation
		if out != "" {
			if err := json.Unmarshal([]byte(out), &violations); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
		}
		for _, v := range violations {
			if v.Namespace == ns && v.Name == "vulnerable" {
				found = v
				return nil
			}
		}
		return fmt.Errorf("no violation of the Pod in: %s", out)
	})
	t.Logf("in the constraint's status after %.1f s: %+v", took.Seconds(), found)
	if found.EnforcementAction != "dryrun" {
		t.Errorf("enforcementAction %q, want dryrun", found.EnforcementAction)
	}
	// Audit keeps 256 bytes: image, reason and worst advisory must be in them.
	for _, text := range []string{img.Ref, "scan result is 'reject'", "CVE-2022-32149 (High)"} {
		if !strings.Contains(found.Message, text) {
			t.Errorf("the violation's message lacks %q: %s", text, found.Message)
		}
	}
}
