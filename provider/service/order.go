package service

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
)

// Order is a task as other replicas read it. There are names in it and never a
// secret: whoever scans reads that again, and proves anew that it opens the
// image.
type Order struct {
	// Reference is pinned, in the spelling of whoever asked first.
	Reference string `json:"reference"`
	// Image is the digest of the index or manifest that Reference names.
	Image      string `json:"image"`
	Registry   string `json:"registry"`
	Repository string `json:"repository"`
	Tag        string `json:"tag,omitempty"`
	Digest     string `json:"digest"`
	MediaType  string `json:"mediaType,omitempty"`
	Platform   string `json:"platform,omitempty"`
	Holder     string `json:"holder,omitempty"`

	Namespace      string   `json:"namespace,omitempty"`
	ServiceAccount string   `json:"serviceAccount,omitempty"`
	PullSecrets    []string `json:"pullSecrets,omitempty"`

	// Retried is when the failure was met that this order is to get past by hand:
	// up to then none stands in its way, whatever a replica still remembers.
	Retried time.Time `json:"retried,omitzero"`
}

func orderOf(t task) Order {
	pinned, err := registry.Pinned(t.resolved.Reference, t.resolved.Digest)
	if err != nil {
		pinned = t.resolved.Reference // what was resolved can be resolved again
	}
	return Order{
		Reference: pinned, Image: t.resolved.Digest, Registry: t.resolved.Registry, Repository: t.resolved.Repository, Tag: t.resolved.Tag,
		Digest: t.manifest.Digest, MediaType: t.manifest.MediaType, Platform: t.manifest.Platform, Holder: t.resolved.Holder,
		Namespace: t.access.Namespace, ServiceAccount: t.access.ServiceAccount, PullSecrets: t.access.PullSecrets,
		Retried: t.retried,
	}
}

func (o Order) encode() json.RawMessage {
	b, err := json.Marshal(o)
	if err != nil {
		panic(fmt.Sprintf("encoding an order: %v", err)) // it is made of strings
	}
	return b
}

// task is the order without the credential that opened the image, which only
// the replica that resolved it knows.
func (o Order) task() task {
	return task{
		resolved: &registry.Resolved{Reference: o.Reference, Digest: o.Image, Registry: o.Registry, Repository: o.Repository, Tag: o.Tag, Holder: o.Holder},
		manifest: registry.Manifest{Digest: o.Digest, MediaType: o.MediaType, Platform: o.Platform},
		access:   registry.Access{Namespace: o.Namespace, ServiceAccount: o.ServiceAccount, PullSecrets: o.PullSecrets},
		retried:  o.Retried,
	}
}

// reopen resolves the order again, with the credentials that its access has now.
func (s *Service) reopen(ctx context.Context, o Order) (task, error) {
	t := o.task()
	res, err := s.o.Registry.Resolve(ctx, o.Reference, o.Platform, t.access)
	if err != nil {
		return task{}, err
	}
	if res.Digest != o.Image || res.Registry != o.Registry || res.Repository != o.Repository {
		return task{}, &report.Failure{
			Reason:  report.ReasonInternal,
			Message: "the replicas of the provider do not agree where the image is; are their registry settings the same?",
			Err:     fmt.Errorf("%s is %s/%s@%s here, and was %s/%s@%s", o.Reference, res.Registry, res.Repository, res.Digest, o.Registry, o.Repository, o.Image),
		}
	}
	if res.Holder != o.Holder {
		return task{}, &report.Failure{
			Reason:  report.ReasonUnauthorized,
			Message: "the image is opened by another credential than when its scan was asked for",
		}
	}
	t.resolved = res
	return t, nil
}
