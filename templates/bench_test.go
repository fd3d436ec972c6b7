package templates_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// BenchmarkImageScanPolicy judges a Pod with five containers through Gatekeeper's
// engine: the policy has 50 prefixes and 20 namespaces, and the reports come from
// Gatekeeper's cache. Allowed-repos is the same Pod under a rule of the kind
// everybody runs, for comparison.
func BenchmarkImageScanPolicy(b *testing.B) {
	const containers = 5
	request := creation(b, benchPod(containers))
	b.Run("summary", func(b *testing.B) { benchPolicy(b, containers, "summary", 3_000) })
	b.Run("full-1MiB-in-one-image", func(b *testing.B) { benchPolicy(b, containers, "full", 1<<20) })
	b.Run("256-images", func(b *testing.B) { benchPolicy(b, 256, "summary", 3_000) })
	b.Run("allowed-repos", func(b *testing.B) {
		e := newEngine(b, time.Hour)
		e.addTemplate(b, readFile(b, "testdata/allowedrepos.yaml"))
		repos := make([]string, 0, 51)
		for i := range 50 {
			repos = append(repos, fmt.Sprintf("registry-%d.example.com/", i))
		}
		e.addConstraint(b, "BenchAllowedRepos", "bench", map[string]any{"repos": append(repos, "registry.example.com/")})
		measure(b, e, request)
	})
}

// benchPolicy makes the first image's report about size bytes long and the
// others' small.
func benchPolicy(b *testing.B, containers int, view string, size int) {
	e := newEngine(b, time.Hour)
	for i := range containers {
		report := map[string]any{"ImageAndTag": benchImage(i), "Status": "accepted", "Message": "no finding at or above High"}
		if i == 0 {
			rows := make([]any, size/128)
			for row := range rows {
				rows[row] = []any{"c7460dfcab50", benchImage(i), fmt.Sprintf("%032d", row), "vulnerabilities", "package", "HIGH", "warn", false}
			}
			report["InnerReport"] = map[string]any{"rows": rows}
		}
		e.provider.reports[benchImage(i)] = report
	}
	e.addTemplate(b, readFile(b, "imagescanpolicy/template.yaml"))
	e.addConstraint(b, "ImageScanPolicy", "bench", benchParameters(view))
	measure(b, e, creation(b, benchPod(containers)))
}

func measure(b *testing.B, e *engine, request admissionv1.AdmissionRequest) {
	b.Helper()
	if messages := e.review(b, request); messages != nil {
		b.Fatal(messages)
	}
	calls, before := e.provider.calls, processorTime(b)
	for b.Loop() {
		e.review(b, request)
	}
	// On a machine that does other things the processor's time says more.
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/Pod")
	if e.provider.calls != calls {
		b.Fatal("not answered from the cache")
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "µs/Pod")
}

func benchImage(i int) string { return fmt.Sprintf("registry.example.com/team-%d/app:1.%d", i, i) }

func benchPod(n int) string {
	var containers strings.Builder
	for i := range n {
		fmt.Fprintf(&containers, "  - {name: c%d, image: %s}\n", i, benchImage(i))
	}
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: ns-7}\nspec:\n  containers:\n" + containers.String()
}

func benchParameters(view string) map[string]any {
	var custom []any
	for i := range 50 {
		custom = append(custom, map[string]any{"prefix": fmt.Sprintf("registry-%d.example.com/", i), "action": "reject"})
	}
	namespaces := map[string]any{}
	for i := range 20 {
		namespaces[fmt.Sprintf("ns-%d", i)] = map[string]any{"defaultPolicy": "scan-result"}
	}
	return map[string]any{"view": view, "scanPolicies": map[string]any{
		"defaultPolicy": "reject", "customPolicies": custom, "byNamespace": namespaces,
	}}
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
