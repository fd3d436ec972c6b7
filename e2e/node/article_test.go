package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// theArticle is the values of "Performing Image Scanning on Admission Controller with
// OPA", https://sysdig.com/blog/image-scanning-admission-controller/: the example
// whose Deployment is refused in one namespace and runs in another.
const theArticle = `{
  "autoGenerate": true, "defaultPolicy": "scan-result", "reportPending": "reject", "scanFailed": "reject",
  "alwaysAccept": [], "alwaysReject": [], "alwaysScanResult": [],
  "byNamespace": {"dev": {"defaultPolicy": "accept"}}
}`

// theArticlesRules is its example of one's own rules, with conditions that hold.
const theArticlesRules = `"###### Begin: Custom rules ######\nmy_example_rule {\n    # Some conditions...\n    input.ContainerObject.name == \"app\"\n}\nother_rule {\n    # Some other conditions...\n    true\n}\ndeny_image[\"This is a custom deny message\"] {\n    my_example_rule\n    other_rule\n}\n###### End: Custom rules ######\n"`

func deployment(name, namespace, image string) string {
	return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ` + name + `, namespace: ` + namespace + `}
spec:
  selector: {matchLabels: {app: ` + name + `}}
  template:
    metadata: {labels: {app: ` + name + `}}
    spec:
      imagePullSecrets: [{name: pull}]
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "` + image + `"}]
`
}

// article is its examples on the installation: what comes of the Deployment in each
// namespace, and that a change of the policies restarts nothing.
func article(t *testing.T, r release, good, bad string) {
	t.Helper()
	tenant(t, "production")
	tenant(t, "dev")
	pods := func() string {
		return kubectl(t, "-n", r.namespace, "get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[*].restartCount};{end}")
	}
	before := pods()
	r.upgrade(t, "1.0.0", "--set-json", "scanRules="+theArticle)
	apply(t, deployment("test-dep", "production", bad))
	eventually(t, func() error {
		if events := kubectl(t, "-n", "production", "get", "events", "-o", "jsonpath={.items[*].message}"); !strings.Contains(events, "scan result is 'reject'") {
			return fmt.Errorf("events: %s", events)
		}
		return nil
	})
	eventually(t, func() error { return ask(t.Context(), "dev", bad) })
	apply(t, deployment("test-dep", "dev", bad))
	eventually(t, func() error {
		if image := kubectl(t, "-n", "dev", "get", "pods", "-o", "jsonpath={.items[*].spec.containers[*].image}"); !strings.Contains(image, "@sha256:") {
			return fmt.Errorf("in dev: %q", image)
		}
		return nil
	})

	r.upgrade(t, "1.0.0", "--set-json", "scanRules="+theArticle, "--set-json", "customRules="+theArticlesRules)
	eventually(t, func() error {
		if err := ask(t.Context(), "production", good); err == nil || !strings.Contains(err.Error(), "This is a custom deny message") {
			return errors.Join(errors.New("the rule is not in force"), err)
		}
		return nil
	})
	// Rules that do not compile are said loudly, and those before stay in force.
	r.upgrade(t, "1.0.0", "--set-json", "scanRules="+theArticle, "--set-json", `customRules="deny_image[msg] { msg := nonsense(input) }"`)
	eventually(t, func() error {
		if events := kubectl(t, "-n", r.namespace, "get", "events", "-o", "jsonpath={.items[*].message}"); !strings.Contains(events, "the rules before stay in force") {
			return fmt.Errorf("events: %s", events)
		}
		return nil
	})
	if err := ask(t.Context(), "production", good); err == nil || !strings.Contains(err.Error(), "This is a custom deny message") {
		t.Errorf("rules that do not compile have taken the place of those that did: %v", err)
	}
	r.upgrade(t, "1.0.0")
	eventually(t, func() error { return ask(t.Context(), "production", good) })
	if after := pods(); after != before {
		t.Errorf("a change of the policies restarted Pods: %s, then %s", before, after)
	}
}
