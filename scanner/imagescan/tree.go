package imagescan

import (
	"context"
	"fmt"
	"io"
	"path"
	"runtime"

	"github.com/anchore/stereoscope/pkg/file"
	"github.com/anchore/stereoscope/pkg/filetree"
	"github.com/anchore/stereoscope/pkg/image"
	"golang.org/x/sync/errgroup"

	"github.com/imagegate/imagegate/scanner/rootfs"
)

// asImage has Stereoscope, which is what Syft reads images by, show a file system
// that it has not put together itself.
func (p *pulledImage) asImage(ctx context.Context, ref string, tree *rootfs.Tree, layers []*layer) (*image.Image, error) {
	img := image.New(nil, nil, "")
	if err := p.describe(img, ref); err != nil {
		return nil, err
	}
	for i, l := range layers {
		size, err := l.file.Seek(0, io.SeekEnd)
		if err != nil {
			return nil, fmt.Errorf("read the file of a layer: %w", err)
		}
		of := image.NewLayer(nil)
		of.Metadata = image.LayerMetadata{Index: uint(i), Digest: l.diffID.String(), MediaType: l.MediaType, Size: size}
		img.Layers = append(img.Layers, of)
		img.Metadata.Size += size
	}
	files, catalog := filetree.New(), image.NewFileCatalog()
	if err := fill(ctx, files, catalog, tree, img.Layers); err != nil {
		return nil, err
	}
	img.FileCatalog = catalog
	img.SquashedSearchContext = filetree.NewSearchContext(files, catalog.Index)
	for _, l := range img.Layers {
		l.Tree, l.SquashedTree = files, files
		l.SearchContext, l.SquashedSearchContext = img.SquashedSearchContext, img.SquashedSearchContext
	}
	return img, nil
}

// describe sets what is known of the image beside its files.
func (p *pulledImage) describe(img *image.Image, ref string) error {
	id, err := p.ConfigName()
	if err != nil {
		return fmt.Errorf("read the image's manifest: %w", err)
	}
	config, err := p.ConfigFile()
	if err != nil {
		return fmt.Errorf("read the image's configuration: %w", err)
	}
	raw, err := p.RawConfigFile()
	if err != nil {
		return fmt.Errorf("read the image's configuration: %w", err)
	}
	mediaType, err := p.MediaType()
	if err != nil {
		return fmt.Errorf("read the image's manifest: %w", err)
	}
	img.Metadata = image.Metadata{
		ID: id.String(), Config: *config, RawConfig: raw, MediaType: mediaType, RepoDigests: []string{ref},
		OS: config.OS, Architecture: config.Architecture, Variant: config.Variant,
	}
	return nil
}

// found is a file with what Stereoscope wants to know about it.
type found struct {
	*rootfs.File
	at       string
	metadata file.Metadata
}

// fill puts the files of a system into Stereoscope's tree and catalog. Their
// types are recognised by their beginnings, several files at once.
func fill(ctx context.Context, to filetree.ReadWriter, catalog *image.FileCatalog, tree *rootfs.Tree, layers []*image.Layer) error {
	var all []found
	if err := tree.Walk(func(at string, f *rootfs.File) error {
		all = append(all, found{File: f, at: at})
		return nil
	}); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	share := len(all)/runtime.GOMAXPROCS(0) + 1
	for begin := 0; begin < len(all); begin += share {
		part := all[begin:min(begin+share, len(all))]
		group.Go(func() error {
			for i := range part {
				if err := ctx.Err(); err != nil {
					return err
				}
				part[i].metadata = metadataOf(part[i])
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	builder := filetree.NewBuilder(to, catalog.Index)
	for _, f := range all {
		ref, err := builder.Add(f.metadata)
		if err != nil {
			return fmt.Errorf("list the image's files: %w", err)
		}
		catalog.AssociateLayer(*ref, layers[f.Layer])
		catalog.AssociateOpener(*ref, func() (io.ReadCloser, error) { return f.open(), nil })
	}
	return nil
}

func metadataOf(f found) file.Metadata {
	m := file.Metadata{
		FileInfo: file.ManualInfo{NameValue: path.Base(f.at), SizeValue: f.Content.Size, ModeValue: f.Mode, ModTimeValue: f.ModTime},
		Path:     f.at,
		UserID:   f.UID,
		GroupID:  f.GID,
		// Without content there is no type.
		MIMEType: file.MIMEType(f.open()),
	}
	switch f.Kind {
	case rootfs.Regular:
		m.Type = file.TypeRegular
	case rootfs.Directory:
		m.Type = file.TypeDirectory
	case rootfs.Symlink:
		m.Type, m.LinkDestination = file.TypeSymLink, f.Link
	case rootfs.Character:
		m.Type = file.TypeCharacterDevice
	case rootfs.Block:
		m.Type = file.TypeBlockDevice
	case rootfs.Pipe:
		m.Type = file.TypeFIFO
	}
	return m
}

// content reads one file, from anywhere in it.
type content struct{ *io.SectionReader }

func (content) Close() error { return nil }

// open never fails: what has no content is empty.
func (f found) open() io.ReadCloser {
	c := f.Content
	if c.From == nil {
		return content{io.NewSectionReader(nothing{}, 0, 0)}
	}
	return content{io.NewSectionReader(c.From, c.Offset, c.Size)}
}

type nothing struct{}

func (nothing) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
