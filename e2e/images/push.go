package images

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push sends items to repository (host[:port]/path), each as NAME:VERSION below
// it, with what is attached. The tag comes last: who can see it finds the rest.
// A registry without OCI's referrers gets them under tags.
func (r Release) Push(ctx context.Context, repository string, items []*Item, options ...remote.Option) error {
	options = append([]remote.Option{remote.WithContext(ctx)}, options...)
	for _, i := range items {
		ref, err := name.NewTag(repository+"/"+i.Name+":"+r.Version, name.StrictValidation)
		if err != nil {
			return fmt.Errorf("push %s: %w", i.Name, err)
		}
		digest, err := i.Digest()
		if err != nil {
			return fmt.Errorf("push %s: %w", i.Name, err)
		}
		if err := i.push(ref.Digest(digest.String()), options); err != nil {
			return fmt.Errorf("push %s: %w", i.Name, err)
		}
		for _, a := range i.Attached {
			if err := pushAttached(ref.Context(), a, options); err != nil {
				return fmt.Errorf("push what is attached to %s: %w", i.Name, err)
			}
		}
		if err := i.push(ref, options); err != nil {
			return fmt.Errorf("push %s: %w", i.Name, err)
		}
	}
	return nil
}

func (i *Item) push(ref name.Reference, options []remote.Option) error {
	if i.Index != nil {
		return remote.WriteIndex(ref, i.Index, options...)
	}
	return remote.Write(ref, i.Image, options...)
}

func pushAttached(repository name.Repository, img v1.Image, options []remote.Option) error {
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	return remote.Write(repository.Digest(digest.String()), img, options...)
}
