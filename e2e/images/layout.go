package images

import (
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// Where tools look for an item's name in a layout: the tag is OCI's, the whole
// name containerd's, which `ctr images import` gives the image.
const (
	tagAnnotation  = "org.opencontainers.image.ref.name"
	nameAnnotation = "io.containerd.image.name"
)

// Write makes an OCI image layout of items in dir, in place of what is there: all
// of it or nothing. Items are called repository/NAME:VERSION in it.
func (r Release) Write(dir, repository string, items []*Item) error {
	unfinished := dir + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	l, err := layout.Write(unfinished, empty.Index)
	if err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	for _, i := range items {
		named := layout.WithAnnotations(map[string]string{
			tagAnnotation:  r.Version,
			nameAnnotation: repository + "/" + i.Name + ":" + r.Version,
		})
		if i.Index != nil {
			err = l.AppendIndex(i.Index, named)
		} else {
			err = l.AppendImage(i.Image, named)
		}
		for _, a := range i.Attached {
			if err == nil {
				err = appendReferrer(l, a)
			}
		}
		if err != nil {
			return fmt.Errorf("write %s into the layout: %w", i.Name, err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	if err := os.Rename(unfinished, dir); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	return nil
}

// appendReferrer lists what is attached in the layout's index, which is where
// referrers are looked for, with its type.
func appendReferrer(l layout.Path, img v1.Image) error {
	if err := l.WriteImage(img); err != nil {
		return err
	}
	desc, err := partial.Descriptor(img)
	if err != nil {
		return err
	}
	if desc.ArtifactType, err = partial.ArtifactType(img); err != nil {
		return err
	}
	return l.AppendDescriptor(*desc)
}
