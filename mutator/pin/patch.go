package pin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// The prefixes of the annotations that keep original references.
const (
	AnnotationPrefix       = "original-image.imagegate.dev/"
	VolumeAnnotationPrefix = "volume.original-image.imagegate.dev/"
)

// operation is one operation of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Annotation returns the name of the annotation that keeps the image's original
// reference.
func (i Image) Annotation() string {
	if i.Use == Volume {
		return VolumeAnnotationPrefix + i.Name
	}
	return AnnotationPrefix + i.Name
}

// Patch returns the JSON patch that gives each image of pinned (an index in
// p.Images) its new reference and brings the annotations in order, and warnings
// for the author about annotations that could not be kept or had to go. old is
// the object that p updates, nil where it updates none. The patch is nil when
// there is nothing to change.
func (p *Pod) Patch(pinned map[int]string, old *Pod) (patch []byte, warnings []string, err error) {
	var ops []operation
	for _, i := range slices.Sorted(maps.Keys(pinned)) {
		ops = append(ops, operation{"replace", p.Images[i].pointer, pinned[i]})
	}
	if p.location.ephemeralOnly {
		warnings = p.unrecorded(pinned)
	} else {
		var more []operation
		more, warnings = p.annotate(pinned, old)
		ops = append(ops, more...)
	}
	if len(ops) == 0 {
		return nil, warnings, nil
	}
	if patch, err = json.Marshal(ops); err != nil {
		return nil, nil, fmt.Errorf("encoding the patch: %w", err)
	}
	return patch, warnings, nil
}

// unrecorded tells the author what no annotation can.
func (p *Pod) unrecorded(pinned map[int]string) []string {
	warnings := make([]string, 0, len(pinned))
	for _, i := range slices.Sorted(maps.Keys(pinned)) {
		warnings = append(warnings, fmt.Sprintf("image '%s' of %s was pinned to '%s'; "+
			"this subresource cannot record the original in an annotation", p.Images[i].Reference, p.Images[i], pinned[i]))
	}
	return warnings
}

func (p *Pod) annotate(pinned map[int]string, old *Pod) (ops []operation, warnings []string) {
	want, warnings := p.wanted(pinned, old)
	set := map[string]string{}
	for k, v := range want {
		if have, ok := p.annotations[k]; !ok || have != v {
			set[k] = v
		}
	}
	for _, k := range slices.Sorted(maps.Keys(p.annotations)) {
		if _, ok := want[k]; !ok && isOurs(k) {
			ops = append(ops, operation{Op: "remove", Path: p.location.pointer("metadata", "annotations", k)})
		}
	}
	switch {
	case len(set) == 0:
	case !p.hasMetadata:
		ops = append(ops, operation{"add", p.location.pointer("metadata"), map[string]any{"annotations": set}})
	case !p.hasAnnotations:
		ops = append(ops, operation{"add", p.location.pointer("metadata", "annotations"), set})
	default:
		for _, k := range slices.Sorted(maps.Keys(set)) {
			ops = append(ops, operation{"add", p.location.pointer("metadata", "annotations", k), set[k]})
		}
	}
	return ops, warnings
}

// wanted returns the annotations of ours that the object is to have.
func (p *Pod) wanted(pinned map[int]string, old *Pod) (want map[string]string, warnings []string) {
	want = map[string]string{}
	unchanged := p.Unchanged(old)
	for i, image := range p.Images {
		key := image.Annotation()
		if len(validation.IsDNS1123Label(image.Name)) > 0 {
			// The API server refuses the object for the name. An invalid
			// annotation beside it would only hide that.
			continue
		}
		if _, now := pinned[i]; now {
			want[key] = image.Reference
			continue
		}
		have, ok := p.annotations[key]
		if unchanged[i] && old.tells(image) {
			if want[key] = old.annotations[key]; ok && have != want[key] {
				warnings = append(warnings, fmt.Sprintf("annotation %s was set back to '%s': that is how image '%s' of %s was written",
					key, want[key], image.Reference, image))
			}
			continue
		}
		if !ok {
			continue
		}
		if p.tells(image) {
			want[key] = have
			continue
		}
		warnings = append(warnings, fmt.Sprintf("annotation %s was removed: it does not say what image '%s' of %s was",
			key, image.Reference, image))
	}
	return want, warnings
}

func isOurs(annotation string) bool {
	return strings.HasPrefix(annotation, AnnotationPrefix) || strings.HasPrefix(annotation, VolumeAnnotationPrefix)
}
