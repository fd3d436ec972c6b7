package service

import (
	"context"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/registry"
)

// Tags that were asked about and mean something else are not looked up again
// for a while: audit asks about every running image once a minute.
const (
	refutedFor = 5 * time.Minute
	// refuted pairs are bounded by number: a reference has a bounded length.
	maxRefuted = 4096
)

// saw remembers what a tag turned out to mean, for the Pods that are pinned to
// it and outlive it.
func (s *Service) saw(ctx context.Context, q Query, res *registry.Resolved) {
	if res.Tag == "" {
		return
	}
	tag, ok := tagOf(q.Reference)
	if !ok {
		return
	}
	if err := s.o.Tags.Saw(ctx, q.Access.Namespace, tagKey(tag), res.Digest); err != nil {
		s.o.Logger.WarnContext(ctx, "a tag's meaning could not be remembered", "image", q.Reference, "error", err)
	}
}

// vouching finds out beside the answer to q whether its original is true, and
// returns a function that waits for the result until ctx ends.
func (s *Service) vouching(ctx context.Context, q Query) func() bool {
	tag, ok := claim(q)
	if !ok {
		return func() bool { return false }
	}
	result := make(chan bool, 1)
	go func() {
		vouched := false
		defer func() {
			if recover() != nil {
				vouched = false
			}
			result <- vouched
		}()
		vouched = s.vouched(ctx, q, tag)
	}()
	return sync.OnceValue(func() bool {
		select {
		case vouched := <-result:
			return vouched
		case <-ctx.Done():
		}
		// What is known from memory is known although the time went to a scan.
		select {
		case vouched := <-result:
			return vouched
		default:
			return false
		}
	})
}

// written is the name by which the image of q is judged and answered: what its
// author wrote as far as that is known, so that an exception for a tag holds for
// what the tag was pinned to.
func (q Query) written() string {
	if q.vouched != nil && q.vouched() {
		return q.Original
	}
	return q.Reference
}

// claim is the tag that the original of q names. Only a tag of the very
// repository that is pulled from can have been pinned to what is pulled; the
// digest alone would let any copy of an image pass for the first.
func claim(q Query) (name.Tag, bool) {
	if q.Original == "" {
		return name.Tag{}, false
	}
	pinned, err := reference.ParseDigest(q.Reference)
	if err != nil {
		return name.Tag{}, false
	}
	tag, ok := tagOf(q.Original)
	return tag, ok && reference.Repository(tag.Context()) == reference.Repository(pinned.Context())
}

func tagOf(written string) (name.Tag, bool) {
	tag, err := reference.ParseTag(written)
	return tag, err == nil
}

// tagKey is the one spelling of a tag, by which it is remembered.
func tagKey(tag name.Tag) string {
	return reference.Repository(tag.Context()) + ":" + tag.TagStr()
}

// vouched says whether tag was seen to mean the digest of q, or means it now.
// The asker must have proved access to that digest: others are told nothing.
func (s *Service) vouched(ctx context.Context, q Query, tag name.Tag) bool {
	res, err := s.resolve(ctx, q)
	if err != nil {
		return false
	}
	known, err := s.o.Tags.Means(ctx, q.Access.Namespace, tagKey(tag), res.Digest)
	if err != nil {
		s.o.Logger.WarnContext(ctx, "the memory of tags could not be read", "image", q.Original, "error", err)
	}
	if known {
		return true
	}
	pair := tagKey(tag) + "@" + res.Digest
	if until, ok := s.refuted.Get(pair); ok && s.o.Now().Before(until) {
		return false
	}
	now := q
	now.Reference = q.Original
	meant, err := s.resolve(ctx, now)
	if err != nil {
		return false
	}
	if meant.Digest != res.Digest {
		s.refuted.Add(pair, s.o.Now().Add(refutedFor))
		return false
	}
	return true
}
