package pin

// place is where a Pod has an image, which an update may fill anew.
type place struct {
	use  Use
	name string
}

// places returns the images of p by their places; a nil p has none.
func (p *Pod) places() map[place]Image {
	images := map[place]Image{}
	if p != nil {
		for _, i := range p.Images {
			images[place{i.Use, i.Name}] = i
		}
	}
	return images
}

// Unchanged returns, by index, the images of p that old has under the same use
// and name with the same reference. A nil old has none.
func (p *Pod) Unchanged(old *Pod) map[int]bool {
	unchanged, before := map[int]bool{}, old.places()
	for n, i := range p.Images {
		if was, ok := before[place{i.Use, i.Name}]; ok && was.Reference == i.Reference {
			unchanged[n] = true
		}
	}
	return unchanged
}

// Settled returns, by index, the images of p that are written as those of old
// were before they were pinned, each with the pinned reference that old has: who
// applies a manifest again changes nothing, wherever its tag points by now. Only
// old says what was written, for whoever updates an object writes its annotations
// too. A nil old has none.
func (p *Pod) Settled(old *Pod) map[int]string {
	settled, before := map[int]string{}, old.places()
	for n, i := range p.Images {
		was, ok := before[place{i.Use, i.Name}]
		if ok && was.Reference != i.Reference && old.tells(was) && old.annotations[was.Annotation()] == i.Reference {
			settled[n] = was.Reference
		}
	}
	return settled
}

// tells reports whether p's annotation can be what image, one of p's, was written
// as: image is pinned, and they name the same repository.
func (p *Pod) tells(image Image) bool {
	written, ok := p.annotations[image.Annotation()]
	if !ok {
		return false
	}
	pinned, err := Check(image.Reference)
	return err == nil && pinned && sameRepository(written, image.Reference)
}
