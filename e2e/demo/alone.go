package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/imagegate/imagegate/e2e/registry"
	"github.com/imagegate/imagegate/e2e/stack"
)

// alone tells what the provider's command line does without a cluster, while the
// programs of one are built: the first time that takes minutes.
func alone(ctx context.Context, s *stack.Stack) error {
	dir := filepath.Join(s.Dir, "alone")
	config, data := filepath.Join(dir, "config.json"), filepath.Join(dir, "data")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	credentials, err := s.Registry.DockerConfig()
	if err != nil {
		return err
	}
	if err := os.WriteFile(config, credentials, 0o600); err != nil {
		return err
	}
	img, err := s.Images.Image(ctx, registry.Vulnerable, "amd64", "alone")
	if err != nil {
		return err
	}
	pushed, err := s.Registry.Push(ctx, img, "shop/first", "1.0.0")
	if err != nil {
		return err
	}
	manifest := filepath.Join(dir, "pod.yaml")
	if err := os.WriteFile(manifest, fmt.Appendf(nil, `apiVersion: v1
kind: Pod
metadata: {name: first}
spec: {containers: [{name: first, image: %q}]}
`, pushed.Ref), 0o600); err != nil {
		return err
	}
	reading := []string{
		"--scanner-database", "sample", "--data-dir", data, "--docker-config", config, "--insecure-registries", s.Registry.Host(),
	}
	for _, told := range []struct {
		chapter string
		args    []string
		text    string
	}{
		{"Before there is a cluster: one image, scanned", append([]string{"scan"}, append(reading, pushed.Ref)...), "CVE-2022-32149"},
		{"And a Pod of it, judged by the policy that the cluster is going to have", append([]string{
			"review", "--templates", filepath.Join(s.Root, "templates"), "--constraints", filepath.Join(s.Root, "constraints", "accepted-only"), "--file", manifest,
		}, reading...), "denied   Pod default/first"},
	} {
		if err := tellRejected(ctx, s.Programs.Provider, told.chapter, told.args, told.text); err != nil {
			return err
		}
	}
	return nil
}

// tellRejected runs and prints a command of the provider that must find what it judges
// rejected. It prints all at once, between the lines of what is being built.
func tellRejected(ctx context.Context, program, chapter string, args []string, text string) error {
	const rejected = 1 // its exit code
	words := []string{"provider"}
	for _, a := range args {
		words = append(words, quoted(a))
	}
	line := strings.Join(words, " ")
	began := time.Now()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState.ExitCode() != rejected || !strings.Contains(out.String(), text) {
		return errors.Join(fmt.Errorf("%s: it was to be rejected, with %q: %s", line, text, out.String()), err)
	}
	_, err = fmt.Printf("\n## %s\n\n$ %s\n%s(%.1f s)\n\n", chapter, line, out.String(), time.Since(began).Seconds())
	return err
}
