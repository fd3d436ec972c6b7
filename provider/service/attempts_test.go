package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// books keeps what Denials is told.
type books struct {
	mu       sync.Mutex
	saw      []denials.Attempt
	answered []string
}

func (b *books) Saw(a denials.Attempt) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.saw = append(b.saw, a)
}

func (b *books) Answered(namespace, image, digest string, status report.Status, _ string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answered = append(b.answered, fmt.Sprintf("%s %s %s %s", namespace, image, digest, status))
}

func TestAttemptsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		b := &books{}
		svc := newService(t, registryFunc(func(ctx context.Context, reference string, access registry.Access) (*registry.Resolved, error) {
			switch reference {
			case "none":
				return nil, &report.Failure{Reason: report.ReasonNotFound, Message: "no such image"}
			case "hangs":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return oneManifest(ctx, reference, access)
		}), scannerFunc(func(ctx context.Context, image backend.Image) (*report.Scan, error) {
			switch image.Digest {
			case "sha256:bad":
				return vulnerable(), nil
			case "sha256:broken":
				return nil, &report.Failure{Reason: report.ReasonUnsupported, Message: "no layers", Err: errors.New("x")}
			case "sha256:slow":
				select {
				case <-slow:
				case <-ctx.Done():
				}
			}
			return clean(), nil
		}), func(o *service.Options) { o.Denials = b })
		defer closeService(t, svc)
		web := owner.Reference{Kind: owner.ReplicaSet, Name: "web", UID: "u"}
		q := func(image, user string, asker service.Asker) service.Query {
			return service.Query{Reference: image, Original: image + ":1", User: user, Owner: web, Pod: "p", Patient: true, Access: registry.Access{Namespace: "shop"}, Asker: asker}
		}
		reports(t, svc, time.Second, q("fine", "anna", service.AskerMutation), q("bad", "anna", service.AskerMutation),
			q("broken", "anna", service.AskerMutation), q("slow", "anna", service.AskerMutation), q("none", "anna", service.AskerMutation))
		// Nobody's attempts: audit, a dry run, and one of no namespace.
		reports(t, svc, time.Second, q("bad", "", service.AskerAudit), q("bad", "", service.AskerMutation), q("bad", "", service.AskerUnknown))
		nowhere := q("bad", "anna", service.AskerMutation)
		nowhere.Access.Namespace = ""
		reports(t, svc, time.Second, nowhere)
		var got []string
		for _, a := range b.saw {
			if a.Namespace != "shop" || a.Owner != web || a.Pod != "p" || a.User != "anna" || a.Message == "" {
				t.Errorf("told %+v", a)
			}
			got = append(got, fmt.Sprintf("%s %s %s", a.Image, a.Digest, a.Status))
		}
		slices.Sort(got)
		want := []string{
			"bad:1 sha256:bad rejected", "broken:1 sha256:broken scan_failed", "fine:1 sha256:fine accepted", "none:1  scan_failed", "slow:1 sha256:slow report_not_available",
		}
		if !slices.Equal(got, want) || len(b.answered) != 0 {
			t.Errorf("told %q, want %q; answered %q", got, want, b.answered)
		}

		// Gatekeeper names what was written, or what stands beside the digest.
		close(slow)
		synctest.Wait()
		reports(t, svc, time.Second, q("slow", "", service.AskerAdmission))
		if !slices.Equal(b.answered, []string{"shop slow sha256:slow accepted", "shop slow:1 sha256:slow accepted"}) {
			t.Errorf("answered %q", b.answered)
		}

		// An image without a digest is not let in either.
		b.saw = nil
		for _, image := range []string{"fine", "none", "hangs"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			d := q(image, "anna", service.AskerMutation)
			d.Original = ""
			_, _ = svc.Digest(ctx, d)
			d.User = ""
			_, _ = svc.Digest(ctx, d)
			cancel()
		}
		if len(b.saw) != 2 || b.saw[0].Image != "none" || b.saw[0].Status != report.ScanFailed || b.saw[1].Image != "hangs" || b.saw[1].Status != report.NotAvailable {
			t.Errorf("told of digests %+v", b.saw)
		}
	})
}
