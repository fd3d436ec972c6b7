package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/imagegate/imagegate/e2e/registry"
)

// slowScan is how long the slow image's layer takes to download.
const slowScan = 8 * time.Second

// worst is what every denial of the vulnerable image says.
var worst = []string{"CVE-2022-32149 (High) in golang.org/x/text v0.3.5, fixed in 0.3.8"}

// pinnedTo prints, for a Pod, its image and what was written, one a line.
const pinnedTo = `jsonpath={.spec.containers[0].image}{"\n"}{.metadata.annotations}{"\n"}`

// policy puts the only policy of the demo into force.
func (t *teller) policy(ctx context.Context) error {
	t.chapter("The policy: only images whose scan report is accepted run (constraints/accepted-only)")
	if err := t.stack.System.ApplyConstraint(ctx, "accepted-only", nil); err != nil {
		return err
	}
	if err := t.kubectl(ctx, ok("accepted-only"), "get", "imagescanpolicy"); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.out, "\nThe scanner works with a small sample database here: a few real advisories, not for real use.")
	return nil
}

// tell runs the story. The first thing that does not go as told ends it.
func (t *teller) tell(ctx context.Context) error {
	began := time.Now()
	for _, chapter := range []func(context.Context) error{
		t.clean, t.vulnerable, t.why, t.page, t.initContainer, t.debug, t.movedTag, t.slowDeployment, t.nobodyWaits,
		t.expansion, t.fault, t.audit,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(t.out, "\nThe story took %.0f s. Everything went as it should.\n", time.Since(began).Seconds())
	return nil
}

func (t *teller) clean(ctx context.Context) error {
	t.chapter("A clean image, never seen before: scanned, pinned to its digest, admitted")
	img, err := t.push(ctx, registry.Fixed, "clean", "shop/api", "2.1.0", 0)
	if err != nil {
		return err
	}
	if err := t.kubectl(ctx, ok("pod/api created"), "run", "api", "--image="+img.Ref); err != nil {
		return err
	}
	t.running = img.Pinned
	return t.kubectl(ctx, ok(img.Pinned, img.Ref), "get", "pod", "api", "-o", pinnedTo)
}

func (t *teller) vulnerable(ctx context.Context) error {
	t.chapter("A Go program built with golang.org/x/text v0.3.5: denied, and the message says what to do")
	img, err := t.push(ctx, registry.Vulnerable, "vulnerable", "shop/api", "1.4.2", 0)
	if err != nil {
		return err
	}
	t.rejected = img.Digest
	return t.kubectl(ctx, denied(append(worst, img.Pinned)...), "run", "old-api", "--image="+img.Ref)
}

func (t *teller) why(ctx context.Context) error {
	t.chapter("A Deployment of it gets no Pods: why, and what to do")
	if err := t.kubectl(ctx, ok(), "create", "deployment", "old-shop", "--image="+t.stack.Registry.Host()+"/shop/api:1.4.2"); err != nil {
		return err
	}
	return t.kubectlUntil(ctx, denied(append(worst, "as now", "Build the image")...), "imagegate", "why", "deployment/old-shop")
}

// page shows where the report is to be read.
func (t *teller) page(ctx context.Context) error {
	t.chapter("Its report is a page as well: what to upgrade, all findings, the rules, an exception to send by Git")
	address := t.stack.System.Pages + "/images/" + t.rejected
	text, err := read(ctx, address)
	if err != nil {
		return err
	}
	for _, want := range []string{"rejected", "CVE-2022-32149", "0.3.8", "verdict.severityThreshold"} {
		if !strings.Contains(text, want) {
			return fmt.Errorf("%s does not say %q", address, want)
		}
	}
	_, _ = fmt.Fprintf(t.out, "\n%s\n\n(all images are at %s/images, and who has the flaw at %s/vulnerabilities/CVE-2022-32149)\n", address, t.stack.System.Pages, t.stack.System.Pages)
	return nil
}

// maxPage bounds a page that is read.
const maxPage = 16 << 20

func read(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("read the page: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", address, resp.Status)
	}
	return string(b), err
}

func (t *teller) initContainer(ctx context.Context) error {
	t.chapter("The same image as an init container: denied too")
	manifest := fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: with-init}
spec:
  initContainers:
  - {name: setup, image: "%[1]s/shop/api:1.4.2"}
  containers:
  - {name: api, image: "%[1]s/shop/api:2.1.0"}
`, t.stack.Registry.Host())
	return t.kubectlInput(ctx, denied(worst...), manifest, "create", "-f", "-")
}

func (t *teller) debug(ctx context.Context) error {
	t.chapter("kubectl debug adds a container to a running Pod: gated and pinned like any other")
	host := t.stack.Registry.Host()
	if err := t.kubectl(ctx, denied(worst...), "debug", "api", "--container=bad", "--image="+host+"/shop/api:1.4.2"); err != nil {
		return err
	}
	if err := t.kubectl(ctx, ok(), "debug", "api", "--container=good", "--image="+host+"/shop/api:2.1.0"); err != nil {
		return err
	}
	_, digest, _ := strings.Cut(t.running, "@")
	return t.kubectl(ctx, ok("@"+digest), "get", "pod", "api", "-o", `jsonpath={.spec.ephemeralContainers[*].image}{"\n"}`)
}

func (t *teller) movedTag(ctx context.Context) error {
	t.chapter("Somebody moves the tag 2.1.0 to the vulnerable image: the running Pod keeps its digest, new ones are denied")
	moved, err := t.push(ctx, registry.Vulnerable, "moved", "shop/api", "2.1.0", 0)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(t.out, "(the provider remembers a tag's digest for some seconds, so this is tried until it shows)")
	if err := t.kubectlUntil(ctx, denied(append(worst, moved.Digest)...), "run", "new-api", "--image="+moved.Ref, "--dry-run=server"); err != nil {
		return err
	}
	return t.kubectl(ctx, ok(t.running), "get", "pod", "api", "-o", `jsonpath={.spec.containers[0].image}{"\n"}`)
}

func (t *teller) slowDeployment(ctx context.Context) error {
	t.chapter("A Deployment whose image takes 8 s to scan: admitted on the first try, because the mutator waits")
	img, err := t.push(ctx, registry.Fixed, "slow", "shop/web", "1.0.0", slowScan)
	if err != nil {
		return err
	}
	if err := t.kubectl(ctx, ok("created"), "create", "deployment", "web", "--image="+img.Ref); err != nil {
		return err
	}
	if err := t.kubectl(ctx, ok("successfully rolled out"), "rollout", "status", "deployment/web", "--timeout=60s"); err != nil {
		return err
	}
	scan, err := t.stack.System.ScanTime(img.Digest)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(t.out, "(the scan itself took %.1f s)\n", scan.Seconds())
	return t.kubectl(ctx, ok("1/1", "web-"), "get", "deployment,pods", "--selector=app=web")
}

func (t *teller) nobodyWaits(ctx context.Context) error {
	t.chapter("The same with a mutator that does not wait: denied as pending, retried by the ReplicaSet controller")
	mutator := t.stack.System.Mutator
	mutator.Stop()
	if err := mutator.Start(ctx, "--wait=0s"); err != nil {
		return err
	}
	img, err := t.push(ctx, registry.Fixed, "slow again", "shop/jobs", "1.0.0", slowScan)
	if err != nil {
		return err
	}
	if err := t.kubectl(ctx, ok("created"), "create", "deployment", "jobs", "--image="+img.Ref); err != nil {
		return err
	}
	if err := t.kubectlUntil(ctx, ok("scan report is pending"), "get", "events", "--field-selector=reason=FailedCreate",
		"-o", `jsonpath={.items[0].message}{"\n"}`); err != nil {
		return err
	}
	if err := t.kubectl(ctx, ok("successfully rolled out"), "rollout", "status", "deployment/jobs", "--timeout=60s"); err != nil {
		return err
	}
	mutator.Stop()
	return mutator.Start(ctx)
}

func (t *teller) expansion(ctx context.Context) error {
	t.chapter("With an ExpansionTemplate a Deployment is judged when it is created, not only its Pods")
	folder := filepath.Join(t.stack.Root, "templates", "expansion", "workloads.yaml")
	if err := t.kubectl(ctx, ok("created"), "apply", "-f", folder); err != nil {
		return err
	}
	host := t.stack.Registry.Host()
	if err := t.kubectlUntil(ctx, denied(append(worst, "[Implied by ")...),
		"create", "deployment", "old-api", "--image="+host+"/shop/api:1.4.2", "--dry-run=server"); err != nil {
		return err
	}
	return t.kubectl(ctx, ok("deleted"), "delete", "-f", folder)
}

func (t *teller) fault(ctx context.Context) error {
	t.chapter("The provider is down: no tag can be pinned, nothing gets in, and the message says why; it comes back, and all is well")
	provider := t.stack.System.Provider
	image := "--image=" + t.stack.Registry.Host() + "/shop/web:1.0.0"
	provider.Stop()
	if err := t.kubectl(ctx, denied("connection refused"), "run", "api-2", image); err != nil {
		return err
	}
	if err := provider.Start(ctx); err != nil {
		return err
	}
	return t.kubectlUntil(ctx, ok("pod/api-2 created"), "run", "api-2", image)
}

func (t *teller) audit(ctx context.Context) error {
	t.chapter("As a dry run the policy admits and audit reports: how to introduce it")
	host := t.stack.Registry.Host()
	if err := t.kubectl(ctx, ok("patched"), "patch", "imagescanpolicy", "accepted-only", "--type=merge",
		"--patch", `{"spec":{"enforcementAction":"dryrun"}}`); err != nil {
		return err
	}
	if err := t.kubectlUntil(ctx, ok("created"), "run", "old-api", "--image="+host+"/shop/api:1.4.2"); err != nil {
		return err
	}
	if err := t.kubectlUntil(ctx, ok("old-api", worst[0]), "get", "imagescanpolicy", "accepted-only", "-o",
		`jsonpath={range .status.violations[*]}{.namespace}/{.name}: {.message}{"\n"}{end}`); err != nil {
		return err
	}
	return t.kubectl(ctx, ok("patched"), "patch", "imagescanpolicy", "accepted-only", "--type=merge",
		"--patch", `{"spec":{"enforcementAction":"deny"}}`)
}
