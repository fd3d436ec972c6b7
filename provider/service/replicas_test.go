package service_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
	"github.com/imagegate/imagegate/provider/store"
)

// cluster is what several replicas share.
type cluster struct {
	queue, failures *bucket.Memory
	store           *store.Memory
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	memory, err := store.NewMemory(store.MemoryOptions{Reports: 1000, Bytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{queue: bucket.NewMemory(), failures: bucket.NewMemory(), store: memory}
}

// replica starts one of the cluster with that many workers.
func (c *cluster) replica(t *testing.T, name string, workers int, r service.Registry, s service.Scanner, change ...func(*service.Options)) *service.Service {
	t.Helper()
	return newService(t, r, s, append([]func(*service.Options){func(o *service.Options) {
		o.Shared = service.Shared{Queue: c.queue, Failures: c.failures, Replica: name}
		o.Store, o.Workers, o.PerRegistry = c.store, workers, workers
	}}, change...)...)
}

// mortal is a bucket whose process can be killed: nothing passes from then on.
type mortal struct {
	bucket.Bucket
	dead atomic.Bool
}

var errDead = errors.New("dead")

func (m *mortal) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if m.dead.Load() {
		return 0, errDead
	}
	return m.Bucket.Create(ctx, key, value)
}

func (m *mortal) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if m.dead.Load() {
		return 0, errDead
	}
	return m.Bucket.Update(ctx, key, value, revision)
}

func (m *mortal) Put(ctx context.Context, key string, value []byte, meta bucket.Meta) (uint64, error) {
	if m.dead.Load() {
		return 0, errDead
	}
	return m.Bucket.Put(ctx, key, value, meta)
}

func (m *mortal) Delete(ctx context.Context, key string, revision uint64) error {
	if m.dead.Load() {
		return errDead
	}
	return m.Bucket.Delete(ctx, key, revision)
}

// byName resolves a pinned reference as it resolves a tag, as registries do, and
// opens it by the namespace's pull secret.
func byName(_ context.Context, ref string, access registry.Access) (*registry.Resolved, error) {
	ref, _, _ = strings.Cut(ref, "@")
	host, repository, _ := strings.Cut(ref, "/")
	repository, tag, _ := strings.Cut(repository, ":")
	digest := "sha256:" + strings.Repeat("a", 64-len(repository)) + repository
	res := &registry.Resolved{Reference: ref, Registry: host, Repository: repository, Digest: digest, Tag: tag, Manifests: []registry.Manifest{{Digest: digest, MediaType: "m", Platform: "linux/arm64"}}}
	if len(access.PullSecrets) > 0 {
		res.Credential, res.Holder = "id of this process", "pull secret "+access.Namespace+"/"+access.PullSecrets[0]
	}
	return res, nil
}

// TestOneReplicaAsksAndAnotherScans, which reads the secrets anew that it is
// given the names of, and knows the image as the first does.
func TestOneReplicaAsksAndAnotherScans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var scanned atomic.Pointer[backend.Image]
		var scans atomic.Int32
		work := scannerFunc(func(_ context.Context, i backend.Image) (*report.Scan, error) {
			scans.Add(1)
			scanned.Store(&i)
			time.Sleep(3 * time.Second)
			return vulnerable(), nil
		})
		never := scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			t.Error("the api scans")
			return nil, errors.New("no")
		})
		api, other := c.replica(t, "api", 0, registryFunc(byName), never), c.replica(t, "api-2", 0, registryFunc(byName), never)
		worker := c.replica(t, "worker", 2, registryFunc(byName), work)
		defer closeService(t, api)
		defer closeService(t, other)
		defer closeService(t, worker)
		var wg sync.WaitGroup
		for i, svc := range []*service.Service{api, other, api, other} {
			wg.Go(func() {
				began := time.Now()
				r := askAs(t, svc, "team", "secret", "x.example/app:1", time.Minute)
				if r.Status != report.Rejected || time.Since(began) > 4*time.Second {
					t.Errorf("%d after %s: %+v", i, time.Since(began), r)
				}
			})
		}
		wg.Wait()
		i := scanned.Load()
		if scans.Load() != 1 || i == nil || i.Authorization != "Basic team" || i.Share != "team" || i.Tag != "1" || i.Platform != "linux/arm64" || i.MediaType != "m" || i.Repository != "app" {
			t.Errorf("%d scans of %+v", scans.Load(), i)
		}
		queued, err := c.queue.Get(t.Context(), "member.worker")
		if err != nil || queued == nil {
			t.Errorf("%v, %v", queued, err)
		}
	})
}

func longMemory(o *service.Options) { o.FailureMax = 30 * time.Minute }

// TestAFailureIsKnownOnEveryReplica, and counted in a row whoever scans.
func TestAFailureIsKnownOnEveryReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var scans atomic.Int32
		broken := scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			scans.Add(1)
			return nil, &report.Failure{Reason: report.ReasonUnsupported, Message: "what is this"}
		})
		var all []*service.Service
		for i := range 3 {
			svc := c.replica(t, fmt.Sprint("r", i), 1, registryFunc(byName), broken, longMemory)
			defer closeService(t, svc)
			all = append(all, svc)
		}
		for range 1800 {
			for _, svc := range all {
				if r := askAs(t, svc, "team", "", "x.example/app:1", time.Second); r.Status != report.ScanFailed || !strings.Contains(r.Message, "what is this") {
					t.Fatalf("%+v", r)
				}
			}
			time.Sleep(time.Second)
		}
		// 30 s, 1, 2, 4, 8, 16 min: six in half an hour.
		if n := scans.Load(); n != 6 {
			t.Errorf("%d scans in half an hour on three replicas, want 6", n)
		}
		late := c.replica(t, "late", 1, registryFunc(byName), broken, longMemory)
		defer closeService(t, late)
		if r := askAs(t, late, "team", "", "x.example/app:1", time.Second); r.Status != report.ScanFailed || scans.Load() != 6 {
			t.Errorf("on a replica that came later: %+v", r)
		}
	})
}

// TestAnImageThatEndsItsScannersIsGivenUp: each replica that scans it dies.
func TestAnImageThatEndsItsScannersIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var scans atomic.Int32
		api := c.replica(t, "api", 0, registryFunc(byName), scannerFunc(nil))
		defer closeService(t, api)
		answer := make(chan report.ScanReport, 1)
		go func() { answer <- askAs(t, api, "team", "", "x.example/poison:1", time.Hour) }()
		for i := range 5 {
			life := &mortal{Bucket: c.queue}
			svc := c.replica(t, fmt.Sprint("r", i), 1, registryFunc(byName), scannerFunc(func(ctx context.Context, _ backend.Image) (*report.Scan, error) {
				scans.Add(1)
				life.dead.Store(true)
				<-ctx.Done()
				return nil, ctx.Err()
			}), func(o *service.Options) { o.Shared.Queue, o.Deadline = life, time.Hour })
			defer closeService(t, svc)
			time.Sleep(time.Minute)
		}
		r := <-answer
		if r.Status != report.ScanFailed || !strings.Contains(r.Message, "begun 3 times") || scans.Load() != 3 {
			t.Errorf("%d scans: %+v", scans.Load(), r)
		}
		t.Log(r.Message)
	})
}

// TestARestartGoesOnWithWhatWasQueued.
func TestARestartGoesOnWithWhatWasQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		slow := scannerFunc(func(ctx context.Context, _ backend.Image) (*report.Scan, error) {
			select {
			case <-time.After(time.Second):
				return clean(), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		first := c.replica(t, "r", 1, registryFunc(byName), slow)
		for i := range 5 {
			askAs(t, first, fmt.Sprint("team-", i), "", fmt.Sprintf("x.example/app-%d:1", i), time.Millisecond)
		}
		closeService(t, first)
		again := c.replica(t, "r", 1, registryFunc(byName), slow)
		defer closeService(t, again)
		time.Sleep(10 * time.Second)
		for i := range 5 {
			if r := askAs(t, again, fmt.Sprint("team-", i), "", fmt.Sprintf("x.example/app-%d:1", i), time.Millisecond); r.Status != report.Accepted {
				t.Errorf("%+v", r)
			}
		}
	})
}

// deafened is a bucket whose deletions its replica does not hear of.
type deafened struct{ *bucket.Memory }

func (d *deafened) Watch(ctx context.Context, o bucket.WatchOptions, see func(bucket.Event)) error {
	return d.Memory.Watch(ctx, o, func(e bucket.Event) {
		if e.Kind != bucket.Deleted {
			see(e)
		}
	})
}

// TestWhatKeepsOneNamespaceOutIsNoOthersFailure: its Secret came, and is of no
// use, between its ask and the scan of an image that is open to all.
func TestWhatKeepsOneNamespaceOutIsNoOthersFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		there := func(ctx context.Context, ref string, a registry.Access) (*registry.Resolved, error) {
			if a.Namespace == "evil" {
				return nil, &report.Failure{Reason: report.ReasonUnauthorized, Message: "the registry refused pull secret evil/token"}
			}
			return byName(ctx, ref, a)
		}
		work := scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) { return clean(), nil })
		api := c.replica(t, "api", 0, registryFunc(byName), work)
		worker := c.replica(t, "worker", 2, registryFunc(there), work)
		defer closeService(t, api)
		defer closeService(t, worker)
		r := askAs(t, api, "evil", "", "x.example/app:1", time.Minute)
		if r.Status != report.ScanFailed || strings.Contains(r.Message, "evil") {
			t.Errorf("its own: %+v", r)
		}
		if r := askAs(t, api, "evil", "", "x.example/app:1", time.Minute); r.Status != report.ScanFailed {
			t.Errorf("its own from memory: %+v", r)
		}
		if r := askAs(t, api, "good", "", "x.example/app:1", time.Minute); r.Status != report.Accepted {
			t.Errorf("the other's: %+v", r)
		}
	})
}

// TestAScanThatDoesNotCountHereIsNotJudgedHere, whatever another replica thinks
// of it.
func TestAScanThatDoesNotCountHereIsNotJudgedHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		var scans atomic.Int32
		work := scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) { scans.Add(1); return clean(), nil })
		api := c.replica(t, "api", 0, registryFunc(byName), work, func(o *service.Options) { o.Trusts = func(*report.Scan) bool { return false } })
		worker := c.replica(t, "worker", 2, registryFunc(byName), work)
		defer closeService(t, api)
		defer closeService(t, worker)
		for range 3 {
			if r := ask(t, api, "x.example/app:1", time.Minute); r.Status != report.ScanFailed || !strings.Contains(r.Message, "settings") {
				t.Errorf("%+v", r)
			}
			time.Sleep(time.Minute)
		}
		if r := ask(t, worker, "x.example/app:1", time.Minute); r.Status != report.Accepted || scans.Load() != 1 {
			t.Errorf("%d scans, %+v", scans.Load(), r)
		}
	})
}

// TestTheFailuresKeptForAllStayBounded, whichever replica forgets which.
func TestTheFailuresKeptForAllStayBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		broken := scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			return nil, &report.Failure{Reason: report.ReasonUnsupported, Message: "what is this"}
		})
		var all []*service.Service
		for _, name := range []string{"a", "b", "c"} {
			all = append(all, c.replica(t, name, 2, registryFunc(byName), broken, func(o *service.Options) { o.Failures = 20 }))
		}
		image := func(i int) string { return fmt.Sprintf("x.example/app%d:1", i) }
		for i := range 3000 {
			ask(t, all[rand.N(3)], image(i), time.Minute)
			for range 5 { // asked for again, here and there
				ask(t, all[rand.N(3)], image(max(i-rand.N(25), 0)), time.Minute)
			}
			time.Sleep(time.Second)
		}
		n := 0
		ctx, cancel := context.WithCancel(t.Context())
		_ = c.failures.Watch(ctx, bucket.WatchOptions{}, func(e bucket.Event) { // its error is ctx's
			switch e.Kind {
			case bucket.Wrote:
				n++
			case bucket.Synced:
				cancel()
			default:
			}
		})
		if n == 0 || n > 20 {
			t.Errorf("%d failures are kept, and 20 may be", n)
		}
		for _, s := range all {
			closeService(t, s)
		}
	})
}

// restless is a bucket whose watch begins anew, so that what was told of an end
// before is not told again.
type restless struct {
	bucket.Bucket
	anew atomic.Bool
}

func (r *restless) Watch(ctx context.Context, o bucket.WatchOptions, see func(bucket.Event)) error {
	deaf := false
	return r.Bucket.Watch(ctx, o, func(e bucket.Event) {
		if r.anew.Load() && !deaf {
			deaf = true
		}
		if !deaf {
			see(e)
			return
		}
		if !r.anew.Load() { // heard again, from the beginning
			deaf = false
			see(bucket.Event{Kind: bucket.Reset})
			_ = r.Bucket.Watch(ctx, o, see) // it ends with ctx
		}
	})
}

// TestAnEndThatWasNotHeardIsFoundInTheStore.
func TestAnEndThatWasNotHeardIsFoundInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		deaf := &restless{Bucket: c.queue}
		api := c.replica(t, "api", 0, registryFunc(byName), scannerFunc(nil), func(o *service.Options) { o.Shared.Queue = deaf })
		worker := c.replica(t, "worker", 1, registryFunc(byName), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
			time.Sleep(3 * time.Second)
			return clean(), nil
		}))
		defer closeService(t, api)
		defer closeService(t, worker)
		answer := make(chan report.ScanReport, 1)
		go func() { answer <- askAs(t, api, "team", "", "x.example/app:1", time.Minute) }()
		time.Sleep(time.Second)
		deaf.anew.Store(true)
		time.Sleep(10 * time.Second)
		deaf.anew.Store(false)
		if r := <-answer; r.Status != report.Accepted {
			t.Errorf("%+v", r)
		}
	})
}
