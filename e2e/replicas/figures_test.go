package replicas_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/e2e/build"
	"github.com/imagegate/imagegate/e2e/replicas"
)

// The tests of this file print figures, each with a line that begins "FIGURE".
// Under -short they do the same on a smaller scale, for what they assert; the
// figures are then of that scale and say so. What is measured shares two processors
// with what measures it, so scans take long beside what they cost: a played scan
// costs next to nothing.

// figure prints one.
func figure(t *testing.T, format string, args ...any) {
	t.Helper()
	scale := ""
	if testing.Short() {
		scale = " (on the small scale of -short)"
	}
	_, _ = fmt.Fprintf(os.Stdout, "FIGURE %s%s\n", fmt.Sprintf(format, args...), scale)
}

// small is the first number under -short, else the second.
func small[T any](short, full T) T {
	if testing.Short() {
		return short
	}
	return full
}

// TestFigureStorm creates 2,000 Pods of 200 unseen images in 20 namespaces at once
// on 3 api and 3 worker processes, and the same again beside a namespace that asks
// for 1,000 images whose scans hang.
func TestFigureStorm(t *testing.T) {
	const workers, namespaces = 3, 20
	images, pods, takes := small(48, 200), small(5, 10), small(time.Second, 8*time.Second)
	f := fleet(t, replicas.Options{})
	m, err := f.Cluster(workers)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, m.Nodes()...)
	f.Scanner.Usually(replicas.Behaviour{Takes: takes})
	slots := workers * scans
	ideal := time.Duration(images) * takes / time.Duration(slots)

	storm := func(name string, beside func(ctx context.Context)) time.Duration {
		unseen, err := f.Push(t.Context(), name, images, 20)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 4*ideal+time.Minute)
		defer cancel()
		besides, stop := context.WithCancel(ctx)
		var wg sync.WaitGroup
		if beside != nil {
			wg.Go(func() { beside(besides) })
		}
		crowd := f.Crowd()
		story := crowd.Create(ctx, replicas.PodsOf(unseen, pods, namespaces))
		stop()
		wg.Wait()
		if n, some := story.Left(); n > 0 {
			t.Fatalf("%d Pods have no verdict: %v", n, some)
		}
		for _, what := range story.Wrong() {
			t.Error(what)
		}
		begun := 0
		counts := f.Scanner.Counts()
		for _, i := range unseen {
			begun += counts[i.Digest].Begun
		}
		if more, never := replicas.Repeated(counts, replicas.Digests(unseen)); begun != images || len(more)+len(never) > 0 {
			t.Errorf("%s: %d scans of %d images; %d of them more than once, %d never", name, begun, images, len(more), len(never))
		}
		last, pod := story.Verdicts()
		figure(t, "%s: %d Pods of %d images in %d namespaces on 3 api and %d worker processes: %d scans of %s in %d slots; last verdict after %.1f s, %.2f of the sum of scan time / slots (%.1f s); last Pod %.1f s",
			name, images*pods, images, namespaces, workers, begun, takes, slots, last.Seconds(), last.Seconds()/ideal.Seconds(), ideal.Seconds(), pod.Seconds())
		return last
	}
	calm := storm("storm", nil)

	hostile := small(200, 1000)
	hanging, err := f.Push(t.Context(), "hanging", hostile, 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range hanging {
		f.Scanner.Plan(i.Digest, replicas.Behaviour{Hangs: true})
	}
	beset := storm("storm-beside-hostile", func(ctx context.Context) {
		f.Crowd().Create(ctx, replicas.PodsOf(hanging, 1, 1)) // none of them ever ends
	})
	figure(t, "beside one hostile namespace of %d hanging images: %.2f of the time without it", hostile, beset.Seconds()/calm.Seconds())
}

// TestFigureRestart kills a provider of the default configuration that has 10,000
// reports.
func TestFigureRestart(t *testing.T) {
	reports := small(300, 10000)
	f := fleet(t, replicas.Options{Scans: 32, Change: func(_ *replicas.Node, c replicas.Config) {
		c.Section("log")["level"] = "warn"
	}})
	n, err := f.Add("provider", replicas.All, nil)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, n)
	images := seed(t, f, "seed", reports, 3)
	before := total(f)
	n.Kill()
	began := time.Now()
	if err := n.Launch(); err != nil {
		t.Fatal(err)
	}
	first := untilFinal(t, f, n, images[reports/2], began)
	// Not all of them at once: images are looked up anew, and of one registry no
	// more than its gate lets through, whatever is in the store.
	askAll(t, f, n, images[:min(reports, 1000)])
	all := time.Since(began)
	if after := total(f); after != before {
		t.Errorf("%d new scans", after-before)
	}
	used, err := replicas.Used(filepath.Join(n.Data, "nats"))
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "kill -9 of the provider with %d reports: answers from them %.2f s after it is started again, %d have been asked for after %.1f s, %d new scans (%d MiB on disk)",
		reports, first.Seconds(), min(reports, 1000), all.Seconds(), total(f)-before, used>>20)
}

// seed has n images scanned that list findings, or none.
func seed(t *testing.T, f *replicas.Fleet, name string, n, findings int) []replicas.Image {
	t.Helper()
	images, err := f.Push(t.Context(), name, n, 100)
	if err != nil {
		t.Fatal(err)
	}
	want := replicas.Accepted
	if findings > 0 {
		want = replicas.Rejected
	}
	for i := range images {
		images[i].Want = want
	}
	f.Scanner.Usually(replicas.Behaviour{Findings: findings})
	askAll(t, f, nil, images)
	return images
}

// askAll asks a node, or any that answers, for each of the images until it has its
// report.
func askAll(t *testing.T, f *replicas.Fleet, n *replicas.Node, images []replicas.Image) {
	t.Helper()
	providers := f.Providers()
	if n != nil {
		providers = []string{n.URL}
	}
	work := make(chan replicas.Image)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for image := range work {
				for t.Context().Err() == nil {
					a := f.Client.Mutator(t.Context(), providers[i%len(providers)], "team", image.Pinned, 20*time.Second)
					if a.Status == image.Want {
						break
					}
					if a.Final() {
						t.Errorf("%s reads %s", image.Ref, a.Status)
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
			}
		})
	}
	for _, image := range images {
		work <- image
	}
	close(work)
	wg.Wait()
}

// untilFinal returns how long after began the node has a report of the image.
func untilFinal(t *testing.T, f *replicas.Fleet, n *replicas.Node, image replicas.Image, began time.Time) time.Duration {
	t.Helper()
	for time.Since(began) < 2*time.Minute {
		if a := f.Client.Gatekeeper(t.Context(), n.URL, "team", image.Pinned); a.Status == image.Want {
			return time.Since(began)
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s has no report of %s after %s", n.Name, image.Ref, time.Since(began))
	return 0
}

func total(f *replicas.Fleet) (begun int) {
	for _, c := range f.Scanner.Counts() {
		begun += c.Begun
	}
	return begun
}

// TestFigureSpread has askers wait on three replicas for scans that a fourth
// process makes.
func TestFigureSpread(t *testing.T) {
	if testing.Short() {
		t.Skip("left out here (-short): `make bench-replicas` runs it")
	}
	const atOnce, n = 4, 400
	f := fleet(t, replicas.Options{})
	m, err := f.Cluster(1)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, m.Nodes()...)
	// A cluster that has just been made is still choosing who leads what.
	seed(t, f, "warm", 40, 0)
	f.Scanner.Usually(replicas.Behaviour{Takes: 100 * time.Millisecond})
	images, err := f.Push(t.Context(), "spread", n, 20)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen, apart []time.Duration
	var wg sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for _, image := range images {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			at := make([]time.Time, len(m.APIs))
			var asked sync.WaitGroup
			for i, api := range m.APIs {
				asked.Go(func() {
					if a := f.Client.Mutator(t.Context(), api.URL, "team", image.Pinned, 20*time.Second); a.Status != image.Want {
						t.Errorf("%s says of %s: %s (%s)", api.Name, image.Ref, a.Status, a.Message)
					}
					at[i] = time.Now()
				})
			}
			asked.Wait()
			first, last := slices.MinFunc(at, time.Time.Compare), slices.MaxFunc(at, time.Time.Compare)
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, last.Sub(f.Scanner.Delivered(image.Digest)))
			apart = append(apart, last.Sub(first))
		})
	}
	wg.Wait()
	figure(t, "a verdict made by a worker is seen on all of three api replicas, after the scanner has handed its report over: p50 %s, p99 %s (%d scans, %d at a time)",
		at(seen, 0.5), at(seen, 0.99), n, atOnce)
	figure(t, "the last of the three has it after the first of them: p50 %s, p99 %s", at(apart, 0.5), at(apart, 0.99))
}

// at is a quantile, rounded.
func at(list []time.Duration, q float64) time.Duration {
	slices.Sort(list)
	return list[int(q*float64(len(list)-1))].Round(100 * time.Microsecond)
}

// TestFigureMemory measures an api replica with many reports of 300 findings in
// the store, and what they take on the disk. The images that are read there have
// been scanned; the reports beside them are written as providers write theirs, in
// their format and through their code, about images that nobody asks for.
func TestFigureMemory(t *testing.T) {
	const findings = 300
	scanned := small(100, 2000) // more than L1 holds
	program, err := build.Fill(t.Context(), programs.root, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	f := fleet(t, replicas.Options{Scans: 32, Change: func(_ *replicas.Node, c replicas.Config) {
		c.Section("log")["level"] = "warn"
	}})
	server, err := f.StartNATS(t.Context(), programs.nats)
	if err != nil {
		t.Fatal(err)
	}
	place := replicas.Config{"url": "nats://" + server.Addr}
	api, err := f.Add("api", replicas.API, place)
	if err != nil {
		t.Fatal(err)
	}
	worker, err := f.Add("worker", replicas.Worker, place)
	if err != nil {
		t.Fatal(err)
	}
	start(t, f, api, worker)
	empty, err := api.Resident()
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "an api replica with no report: %d MiB resident", empty>>20)
	images := seed(t, f, "seed", scanned, findings)
	worker.Stop() // what is asked for from here on is there
	reports := scanned
	for _, upTo := range small([]int{200, 400}, []int{10000, 50000}) {
		api.Stop()
		fill(t, program, server, images[0], upTo-reports)
		reports = upTo
		start(t, f, api)
		fresh, err := api.Resident()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := api.Metric(t.Context(), "imagegate_store_reports"); err != nil || int(n) != reports {
			t.Fatalf("the api replica knows of %v reports (%v), not %d", n, err, reports)
		}
		before := total(f)
		askAll(t, f, api, images)
		read, err := api.Resident()
		if err != nil {
			t.Fatal(err)
		}
		if n := total(f) - before; n > 0 {
			t.Errorf("%d new scans", n)
		}
		used, err := replicas.Used(server.Dir)
		if err != nil {
			t.Fatal(err)
		}
		figure(t, "an api replica with %d reports of %d findings in the store: %d MiB resident when it is ready, %d MiB when %d of them have been read; on the disk %d MiB, %d bytes for each",
			reports, findings, fresh>>20, read>>20, len(images), used>>20, used/int64(reports))
	}
}

// fill writes n more reports like that of the image.
func fill(t *testing.T, program string, server *replicas.NATS, like replicas.Image, n int) {
	t.Helper()
	began := time.Now()
	cmd := exec.CommandContext(t.Context(), program, "-url=nats://"+server.Addr, "-like=http://"+like.Pinned,
		fmt.Sprintf("-name=%s-%d", t.Name(), n), fmt.Sprintf("-count=%d", n))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("writing %d reports: %v\n%s", n, err, out)
	}
	t.Logf("%d reports were written in %s", n, time.Since(began).Round(time.Second))
}
