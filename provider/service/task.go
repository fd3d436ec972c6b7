package service

import (
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/queue"
	"github.com/imagegate/imagegate/provider/registry"
	"github.com/imagegate/imagegate/provider/turns"
)

// task is one image manifest to scan, and through whose access it was found.
type task struct {
	resolved *registry.Resolved
	manifest registry.Manifest
	access   registry.Access
	// retried is that of the Order.
	retried time.Time
}

// index is the digest of the index that the manifest was chosen from, or empty.
func (t task) index() string {
	if t.resolved.Digest == t.manifest.Digest {
		return ""
	}
	return t.resolved.Digest
}

// key is the image as a scan reads it. It names the repository
// beside the digest: whoever may create Pods may put a manifest that others use
// into a registry of their own, without its layers or behind a connection that
// never ends, and must not thereby keep the others' image from being scanned. The
// index has a part in it because statements may be attached to it.
func (t task) key() string {
	return t.resolved.Registry + "/" + t.resolved.Repository + "@" + t.digests()
}

// digests name the manifest and, where it has one, its index before it.
func (t task) digests() string {
	if index := t.index(); index != "" {
		return index + "/" + t.manifest.Digest
	}
	return t.manifest.Digest
}

// opened is key with whose credential opened the image. A scan under way and its
// failure are shared by it, for they may be that credential's doing; a finished
// scan is shared as far as its scanner vouches for the content.
func (t task) opened() string { return t.key() + "\n" + t.resolved.Holder }

// shut is opened with who asks: what keeps a namespace from opening the image as
// it did before is nobody else's failure.
func (t task) shut() string { return t.opened() + "\n" + t.access.Namespace }

// account is whose turns a scan of the task takes when the namespace asks for it.
func (t task) account(namespace string) turns.Share {
	return turns.Share{Namespace: namespace, Registry: t.resolved.Registry}
}

// image is the task as a scanner is asked for it, without the authorization.
func (t task) image() backend.Image {
	return backend.Image{
		Registry:   t.resolved.Registry,
		Repository: t.resolved.Repository,
		Digest:     t.manifest.Digest,
		Index:      t.index(),
		Tag:        t.resolved.Tag,
		MediaType:  t.manifest.MediaType,
		Platform:   t.manifest.Platform,
	}
}

// storeKey is what a finished scan counts for: the digest wherever it is, or
// only under the names for which the scanner that makes it can vouch.
func (s *Service) storeKey(t task) string {
	image := t.image()
	return s.o.Scanner.Sharing(image).Key(image)
}

// jobKey is what askers share a job by.
func (s *Service) jobKey(t task) string { return t.opened() + "\n" + s.storeKey(t) }

// wish is a task as the queue carries it.
func (s *Service) wish(t task) queue.Ask {
	return queue.Ask{
		Job: s.jobKey(t), Group: t.key(), Result: s.storeKey(t),
		Share: t.account(t.access.Namespace), Work: orderOf(t).encode(), Known: t,
	}
}
