package e2e_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/imagegate/imagegate/e2e/parity"
)

// minParityCases is how many cases must be decided the same both ways.
const minParityCases = 60

// TestParity decides every case of testdata/parity with the real Gatekeeper and
// with `provider review`. Both must come to what the case wants, word by word.
func TestParity(t *testing.T) {
	began := time.Now()
	table, err := parity.Load(filepath.Join(shared.Root, "e2e", "testdata", "parity"), began)
	if err != nil {
		t.Fatal(err)
	}
	standIn, err := parity.Serve(shared.Cluster.Webhooks, table.Cases)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standIn.Stop)
	certificates := t.TempDir()
	if err := shared.Cluster.Webhooks.WriteDir(certificates, "parity-review"); err != nil {
		t.Fatal(err)
	}
	review := &parity.Review{
		Provider: shared.Programs.Provider, Root: shared.Root, Dir: t.TempDir(),
		StandIn: standIn, Certificates: certificates,
	}
	templates, err := review.Templates(t.Context(), table.Templates)
	if err != nil {
		t.Fatal(err)
	}
	expansions, err := review.Expansions(t.Context(), shared.Cluster.KubectlPath())
	if err != nil {
		t.Fatal(err)
	}
	gatekeeper := &parity.Gatekeeper{Cluster: shared.Cluster, StandIn: standIn, Log: webhookLog(t)}
	t.Cleanup(func() {
		if err := gatekeeper.Clean(context.Background()); err != nil {
			t.Error(err)
		}
	})
	outcomes := make([]outcome, len(table.Cases))
	// provider review needs no cluster: it has the time in which one is prepared.
	var reviewing sync.WaitGroup
	defer reviewing.Wait()
	reviewing.Go(func() {
		reviewAll(t.Context(), review, table.Cases, outcomes, func(c parity.Case) bool { return !review.AsksStandIn(c) })
	})
	if err := gatekeeper.Prepare(t.Context(), table.Cases, templates); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"", "deny", "warn"} {
		if mode != "" {
			if err := gatekeeper.Expand(t.Context(), expansions[mode]); err != nil {
				t.Fatal(err)
			}
		}
		for i, c := range table.Cases {
			if c.Expansion == mode {
				outcomes[i].cluster, outcomes[i].clusterErr = gatekeeper.Judge(t.Context(), c)
			}
		}
	}
	reviewing.Wait()
	reviewAll(t.Context(), review, table.Cases, outcomes, review.AsksStandIn)

	equal := 0
	for i, c := range table.Cases {
		ok := t.Run(c.Name, func(t *testing.T) { outcomes[i].check(t, c) })
		if ok && outcomes[i].cluster.Refused == "" {
			equal++
		}
	}
	t.Logf("%s\n%d cases, %d of them decided by Gatekeeper and by provider review alike, in %.1f s",
		printed(table.Cases, outcomes), len(table.Cases), equal, time.Since(began).Seconds())
	if equal < minParityCases {
		t.Errorf("%d cases are the same both ways, want at least %d", equal, minParityCases)
	}
}

// outcome is what came of a case, each way.
type outcome struct {
	cluster, review       parity.Verdict
	clusterErr, reviewErr error
}

// reviewAll runs provider review over the cases that are wanted, two at a time.
func reviewAll(ctx context.Context, review *parity.Review, cases []parity.Case, outcomes []outcome, wanted func(parity.Case) bool) {
	var work sync.WaitGroup
	slots := make(chan struct{}, 2)
	for i, c := range cases {
		if !wanted(c) {
			continue
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			outcomes[i].review, outcomes[i].reviewErr = review.Judge(ctx, c)
		})
	}
	work.Wait()
}

func (o outcome) check(t *testing.T, c parity.Case) {
	if o.clusterErr != nil {
		t.Errorf("Gatekeeper: %v", o.clusterErr)
	} else if err := c.Check(o.cluster); err != nil {
		t.Errorf("Gatekeeper: %v", err)
	}
	if o.reviewErr != nil {
		t.Errorf("provider review: %v", o.reviewErr)
	} else if err := c.Check(o.review); err != nil {
		t.Errorf("provider review: %v", err)
	}
	if !o.cluster.Equal(o.review) {
		t.Errorf("not the same both ways.\nGatekeeper: %s\nprovider review: %s", o.cluster, o.review)
	}
}

// printed is the table of what was decided.
func printed(cases []parity.Case, outcomes []outcome) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "\ncase\tpolicy\tGatekeeper\tprovider review\tsame\tmessages\tscanned\n")
	for i, c := range cases {
		o := outcomes[i]
		same := "yes"
		if o.clusterErr != nil || o.reviewErr != nil || !o.cluster.Equal(o.review) {
			same = "NO"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\n", c.Name, c.Kind, o.cluster.Decision(), o.review.Decision(),
			same, len(o.cluster.Violations), len(o.cluster.Scanned))
	}
	_ = w.Flush()
	return b.String()
}

// webhookLog is the log file of the Gatekeeper process that serves the webhooks.
func webhookLog(t *testing.T) string {
	t.Helper()
	files := shared.Cluster.LogFiles()
	i := slices.IndexFunc(files, func(f string) bool { return strings.Contains(f, "gatekeeper-controller-manager") })
	if i < 0 {
		t.Fatalf("no log of Gatekeeper's webhook among %v", files)
	}
	return files[i]
}
