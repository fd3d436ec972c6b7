package images

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/e2e/build"
)

// Programs are those that there are images of.
func Programs() []string { return []string{"provider", "mutator", "scanner"} }

// Item is one thing that a tag names, and what is attached to it.
type Item struct {
	// Name is the repository below that of all: provider, charts/imagegate.
	Name string
	// Index is an image's; Image is what has no platforms, a chart.
	Index v1.ImageIndex
	Image v1.Image
	// Attached are the referrers.
	Attached []v1.Image
	// Bytes is what the layers of the first platform take compressed.
	Bytes int64
}

// Digest of the item.
func (i *Item) Digest() (v1.Hash, error) {
	if i.Index != nil {
		return i.Index.Digest()
	}
	return i.Image.Digest()
}

// Build builds programs of the repository at root for platforms (linux/amd64) and
// makes an index of images of each, with an SBOM attached to each platform's
// manifest. Binaries go into dir.
func (r Release) Build(ctx context.Context, root, dir string, programs, platforms []string, progress io.Writer) ([]*Item, error) {
	licence, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		return nil, fmt.Errorf("make images: %w", err)
	}
	var items []*Item
	for _, program := range programs {
		item := &Item{Name: program, Index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex)}
		for _, platform := range platforms {
			arch, ok := strings.CutPrefix(platform, "linux/")
			if !ok || strings.Contains(arch, "/") {
				return nil, fmt.Errorf("make images: %q is not linux/ and an architecture", platform)
			}
			binary := filepath.Join(dir, "linux-"+arch, program)
			if err := build.Release(ctx, root, program, arch, binary, progress); err != nil {
				return nil, err
			}
			img, err := r.Image(program, arch, binary, licence)
			if err != nil {
				return nil, err
			}
			if err := item.add(r, program, arch, binary, img); err != nil {
				return nil, err
			}
		}
		annotated, ok := mutate.Annotations(item.Index, r.labels(program)).(v1.ImageIndex)
		if !ok {
			return nil, fmt.Errorf("annotate the index of %s: it is no index any more", program)
		}
		item.Index = annotated
		items = append(items, item)
	}
	return items, nil
}

// add puts a platform's image into the index, and its SBOM beside it.
func (i *Item) add(r Release, program, arch, binary string, img v1.Image) error {
	desc, err := partial.Descriptor(img)
	if err != nil {
		return fmt.Errorf("image of %s: %w", program, err)
	}
	list, err := r.SBOM(program, binary)
	if err != nil {
		return err
	}
	attached, err := attach(list, v1.Descriptor{MediaType: desc.MediaType, Size: desc.Size, Digest: desc.Digest})
	if err != nil {
		return err
	}
	if len(i.Attached) == 0 {
		if i.Bytes, err = layerBytes(img); err != nil {
			return fmt.Errorf("image of %s: %w", program, err)
		}
	}
	i.Attached = append(i.Attached, attached)
	i.Index = mutate.AppendManifests(i.Index, mutate.IndexAddendum{
		Add:        img,
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
	})
	return nil
}

func layerBytes(img v1.Image) (sum int64, err error) {
	layers, err := img.Layers()
	if err != nil {
		return 0, err
	}
	for _, l := range layers {
		n, err := l.Size()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Digests are the digests of items by name.
func Digests(items []*Item) (map[string]string, error) {
	digests := map[string]string{}
	for _, i := range items {
		h, err := i.Digest()
		if err != nil {
			return nil, fmt.Errorf("digest of %s: %w", i.Name, err)
		}
		digests[i.Name] = h.String()
	}
	return digests, nil
}

// Print writes a line for each item: name, digest, size.
func Print(w io.Writer, items []*Item) error {
	digests, err := Digests(items)
	if err != nil {
		return err
	}
	bytes := map[string]int64{}
	for _, i := range items {
		bytes[i.Name] = i.Bytes
	}
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		if _, err := fmt.Fprintf(w, "%-18s %s  %5.1f MiB\n", name, digests[name], float64(bytes[name])/(1<<20)); err != nil {
			return err
		}
	}
	return nil
}
