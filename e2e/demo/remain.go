package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/imagegate/imagegate/e2e/registry"
)

// remain says how to use the cluster and waits for Ctrl-C. A test runs the commands
// that it prints.
func (t *teller) remain(ctx context.Context) error {
	demo, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	auth, err := t.stack.Registry.Auth().Authorization()
	if err != nil {
		return fmt.Errorf("read the registry's password: %w", err)
	}
	good, err := t.stack.Images.Program(ctx, registry.Fixed, "amd64")
	if err != nil {
		return err
	}
	bad, err := t.stack.Images.Program(ctx, registry.Vulnerable, "amd64")
	if err != nil {
		return err
	}
	_, _ = fmt.Fprint(t.out, strings.NewReplacer(
		"KUBECONFIG_FILE", quoted(t.stack.Cluster.Kubeconfig),
		"FOLDERS", quoted(filepath.Dir(t.stack.Cluster.KubectlPath()))+":"+quoted(filepath.Dir(t.stack.Programs.Plugin)),
		"PROVIDER", quoted(t.stack.Programs.Provider),
		"DOCKER_CONFIG", quoted(t.stack.System.DockerConfig()),
		"PUSH", quoted(demo)+" push -credentials "+quoted(t.stack.System.DockerConfig()),
		"GOOD", quoted(good),
		"BAD", quoted(bad),
		"HOST", t.stack.Registry.Host(),
		"USER", auth.Username,
		"PASSWORD", quoted(auth.Password),
		"PAGES", t.stack.System.Pages,
		"LOGS", t.stack.Dir,
	).Replace(remaining))
	<-ctx.Done()
	_, _ = fmt.Fprintln(t.out, "\nending")
	return nil
}

const remaining = `
Everything is running. In another terminal:

  export KUBECONFIG=KUBECONFIG_FILE PATH=FOLDERS:"$PATH"
  kubectl get nodes,pods -A

An image of yours goes into its registry, http://HOST, with one of

  PUSH GOOD HOST/mine:1
  PUSH BAD HOST/mine:bad
  PUSH nginx:1.27 HOST/nginx:1.27
  PUSH saved.tar HOST/saved:1
  docker login -u USER -p PASSWORD HOST && docker tag nginx:1.27 HOST/nginx:1.27 && docker push HOST/nginx:1.27

The first two make images of programs for Linux, of which the second has a flaw that the sample
database knows; the third copies an image, the fourth takes what docker save wrote. Then

  kubectl run mine --image=HOST/mine:1

is let in, and mine:bad is not. PAGES/blocked has who was not let in and what to do,
PAGES/images all that the provider knows of both. And of a Deployment, and of what runs

  kubectl imagegate why deployment/NAME
  kubectl imagegate get -A --pages PAGES
  kubectl imagegate affected CVE-2022-32149 --pages PAGES

The same scan without the cluster, and with its findings as a table:

  PROVIDER scan --scanner-database sample --insecure-registries HOST --docker-config DOCKER_CONFIG HOST/mine:bad

A policy is introduced in three steps, in a real cluster days apart: README.md, "From dryrun to
deny". First nothing is denied, and audit lists what would be:

  kubectl patch imagescanpolicy accepted-only --type=merge -p '{"spec":{"enforcementAction":"dryrun"}}'
  kubectl get imagescanpolicy accepted-only -o jsonpath='{.status.totalViolations}{"\n"}'
  kubectl get imagescanpolicy accepted-only -o jsonpath='{range .status.violations[*]}{.namespace}{"\t"}{.name}{"\t"}{.message}{"\n"}{end}' | sort

Then who creates a Pod that would be denied reads a warning, and it starts:

  kubectl patch imagescanpolicy accepted-only --type=merge -p '{"spec":{"enforcementAction":"warn"}}'

Then it is denied, as it is now, and what controllers are denied is in events:

  kubectl patch imagescanpolicy accepted-only --type=merge -p '{"spec":{"enforcementAction":"deny"}}'
  kubectl get events -A --field-selector reason=FailedCreate

Logs are in LOGS. Ctrl-C ends it all.
`

// quoted is a word as a shell wants it.
func quoted(word string) string {
	if !strings.ContainsAny(word, " {}'\"$;|<>*&()`\\") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
