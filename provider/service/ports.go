// Package service is the service at the heart of the provider: it answers what is
// known about an image within the asker's time, and has images that nothing is
// known about scanned, once each, whoever asks and whether or not the asker is
// still there when the scan ends.
//
// It knows neither HTTP nor any scanner, registry or store: those are the
// small interfaces of this file.
package service

import (
	"context"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/denials"
	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// Registry says what a reference means and opens it for the scanner.
type Registry interface {
	// Resolve proves that access may pull the reference and returns what it
	// means now, images and artifacts alike. Errors are *report.Failure.
	Resolve(ctx context.Context, reference, platform string, access registry.Access) (*registry.Resolved, error)
	// ResolveNow is Resolve for whoever keeps the answer: what a tag means is
	// asked after the question.
	ResolveNow(ctx context.Context, reference, platform string, access registry.Access) (*registry.Resolved, error)
	// Authorization returns the Authorization header by which access opened the
	// resolved repository, empty for anonymous access. Its errors name no Secret:
	// they are told to whoever holds the same credential.
	Authorization(ctx context.Context, res *registry.Resolved, access registry.Access) (string, error)
	// Refused says that the registry turned that credential down since, so that
	// the proof of access ends.
	Refused(ctx context.Context, res *registry.Resolved, access registry.Access)
}

// Scanner scans one image manifest and returns when it is done. Errors are
// *report.Failure.
type Scanner interface {
	Scan(ctx context.Context, image backend.Image) (*report.Scan, error)
	// Sharing says for which other names of its digest a scan of the image counts.
	Sharing(image backend.Image) backend.Sharing
}

// Store remembers finished scans by scanner.Sharing's keys. Get returns nil
// without an error for a key it does not know; an error means that it cannot be
// known. Put keeps a scan on the account of the namespace that had it made, and
// returns the revision from which on it is there; GetAt waits until that is seen
// here. Look is GetAt for whoever is about to make what is not there: that nothing
// has been heard of it here is not enough.
type Store interface {
	Get(ctx context.Context, key string) (*report.Scan, error)
	GetAt(ctx context.Context, key string, revision uint64) (*report.Scan, error)
	Look(ctx context.Context, key string, revision uint64) (*report.Scan, error)
	Put(ctx context.Context, namespace, key string, scan *report.Scan) (revision uint64, err error)
}

// Tags remembers which digests a tag, a canonical repository:tag, was seen to
// mean, each for the namespace that asked. It is bounded, and what one namespace
// brings must not make it forget what another did.
type Tags interface {
	Saw(ctx context.Context, namespace, tag, digest string) error
	// Means says whether anybody saw tag mean digest; namespace is who asks.
	Means(ctx context.Context, namespace, tag, digest string) (bool, error)
}

// Judge draws the verdict on a finished scan. Its configuration may change, which
// Generation tells; Until says from when on a verdict may be another although nothing
// has changed, zero: never.
type Judge interface {
	Judge(scan *report.Scan, subject verdict.Subject) verdict.Outcome
	Until(scan *report.Scan) time.Time
	Generation() uint64
}

// Nudger makes the controllers of Pods try again that were told to wait. It does
// nothing in the caller's time.
type Nudger interface {
	// Pending says that the owner in that namespace, or none, was told that the
	// scan which key names is not over.
	Pending(namespace string, by owner.Reference, key string)
	// Ended says that there is a scan now, or a failure that lasts, for whoever was
	// told to wait for it. It is called after others can see that: whoever finds,
	// having said Pending, that the scan is over says Ended itself.
	Ended(key string)
}

// Denials remembers what was not let in. It does nothing in the caller's time.
type Denials interface {
	// Saw is told each answer to an attempt to run an image.
	Saw(a denials.Attempt)
	// Answered is told what Gatekeeper was told of an image for a Pod of the namespace,
	// under each name that the author may have written.
	Answered(namespace, image, digest string, status report.Status, message string)
}

// nobody is the Nudger of a Service that has none.
type nobody struct{}

func (nobody) Pending(string, owner.Reference, string) {}
func (nobody) Ended(string)                            {}
