package service_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// nudger keeps the books of a Nudger: who is to be nudged, and when.
type nudger struct {
	mu      sync.Mutex
	waiting map[string][]string // by key
	nudged  []string
}

func (n *nudger) Pending(namespace string, by owner.Reference, key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if who := namespace + "/" + by.Name; by != (owner.Reference{}) && !slices.Contains(n.waiting[key], who) {
		n.waiting[key] = append(n.waiting[key], who)
	}
}

func (n *nudger) Ended(key string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nudged = append(n.nudged, n.waiting[key]...)
	delete(n.waiting, key)
}

func (n *nudger) seen() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(slices.Values(n.nudged))
}

// by is what the mutator asks for a Pod of that owner.
func by(namespace, name, image string) service.Query {
	return service.Query{Reference: image, Access: registry.Access{Namespace: namespace}, Owner: owner.Reference{Kind: owner.Job, Name: name, UID: "u"}}
}

func reports(t *testing.T, svc *service.Service, within time.Duration, queries ...service.Query) []report.ScanReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return svc.Reports(ctx, queries)
}

// Whoever was told to wait hears of the end, and nobody else does: not who had
// the verdict at once, and not for a failure that may pass.
func TestWhoWasToldToWaitHearsOfTheEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		failure *report.Failure
		want    []string
	}{
		"a scan":                  {nil, []string{"dev/a", "shop/a", "shop/b"}},
		"a failure that lasts":    {&report.Failure{Reason: report.ReasonUnsupported, Message: "no layers"}, []string{"dev/a", "shop/a", "shop/b"}},
		"a failure that may pass": {&report.Failure{Reason: report.ReasonUnavailable, Message: "the scanner is away"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &nudger{waiting: map[string][]string{}}
				svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
					time.Sleep(10 * time.Second)
					if tc.failure != nil {
						return nil, tc.failure
					}
					return clean(), nil
				}), func(o *service.Options) { o.Nudger = n })
				defer closeService(t, svc)
				reports(t, svc, time.Second, by("shop", "a", "app"), by("shop", "b", "app"), by("dev", "a", "app"),
					service.Query{Reference: "app", Access: registry.Access{Namespace: "shop"}})
				time.Sleep(8 * time.Second)
				if got := n.seen(); got != nil {
					t.Errorf("before the end: %v", got)
				}
				reports(t, svc, time.Minute, by("patient", "a", "app"))
				synctest.Wait()
				if got := n.seen(); !slices.Equal(got, tc.want) {
					t.Errorf("%v hear of the end, want %v", got, tc.want)
				}
			})
		})
	}
}

// TestNoEndIsMissed has scans end at about the moment at which askers are told to
// wait for them.
func TestNoEndIsMissed(t *testing.T) {
	n := &nudger{waiting: map[string][]string{}}
	svc := newService(t, registryFunc(oneManifest), scannerFunc(func(context.Context, backend.Image) (*report.Scan, error) {
		time.Sleep(time.Millisecond)
		return clean(), nil
	}), func(o *service.Options) { o.Nudger, o.Workers, o.PerRegistry, o.Queue = n, 64, 64, 1000 })
	defer closeService(t, svc)
	var told []string
	for i := range 200 {
		image := fmt.Sprint("app-", i)
		if r := reports(t, svc, time.Millisecond, by("shop", image, image)); r[0].Status == report.NotAvailable {
			told = append(told, "shop/"+image)
		}
		if r := ask(t, svc, image, 10*time.Second); r.Status != report.Accepted {
			t.Fatal(r)
		}
	}
	nudged := n.seen()
	missed := 0
	for _, who := range told {
		if !slices.Contains(nudged, who) {
			missed++
		}
	}
	t.Logf("%d of 200 were told to wait", len(told))
	if missed > 0 {
		t.Errorf("%d of %d that were told to wait hear of no end", missed, len(told))
	}
}
