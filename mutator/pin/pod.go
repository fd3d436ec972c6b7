package pin

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/imagegate/imagegate/provider/owner"
)

// Use is what a Pod uses an image for.
type Use string

// The uses of images, in the words of messages.
const (
	Container          Use = "container"
	InitContainer      Use = "init container"
	EphemeralContainer Use = "ephemeral container"
	Volume             Use = "volume"
)

const (
	// MaxImages is how many images of one Pod are looked at. The policies deny
	// what has more (templates/lib/pod.rego).
	MaxImages = 512
	// maxSecrets make a key that the provider refuses for its length, however
	// short their names: a longer one would say no more.
	maxSecrets = 256
)

// Image is one image of a Pod.
type Image struct {
	Use Use
	// Name is the container's or volume's name.
	Name string
	// Reference is the image as written.
	Reference string
	pointer   string
}

// String names the place of the image for a Pod's author.
func (i Image) String() string { return fmt.Sprintf("%s '%s'", i.Use, i.Name) }

// Pod is what of a Pod or Pod template matters here.
type Pod struct {
	// Name is the Pod's, or what it begins with when the API server is to make it.
	Name           string
	Images         []Image
	ServiceAccount string
	PullSecrets    []string
	// Platform is what the Pod says of the platforms it may run on, as keys of
	// the provider spell it; empty when it says nothing, or more than can be
	// asked: then PlatformErr is ErrPlatforms.
	Platform    string
	PlatformErr error
	// Owner is the controller that made the Pod, as the Pod says, when it is of a
	// kind that tries again by itself; the zero value where there is none.
	Owner owner.Reference

	// node is where the Pod is bound to; mirror is true where it has the
	// annotation of a static Pod's mirror.
	node   string
	mirror bool

	location       Location
	hasMetadata    bool
	hasAnnotations bool
	annotations    map[string]string
}

// Read returns the Pod at l in object (JSON). An object without one, such as a
// CronJob with an empty template, has no images and is no error: the API server
// judges it. Images that are empty, as templates may have them, are left out.
func Read(object []byte, l Location) (*Pod, error) {
	var root map[string]any
	if err := json.Unmarshal(object, &root); err != nil {
		return nil, fmt.Errorf("object is not a JSON object: %w", err)
	}
	p := &Pod{location: l, annotations: map[string]string{}}
	holder, err := nested(root, l.path...)
	if err != nil || holder == nil {
		return p, err
	}
	if err := p.readMetadata(holder); err != nil {
		return nil, err
	}
	spec, err := nested(holder, "spec")
	if err != nil || spec == nil {
		return p, err
	}
	return p, p.readSpec(spec)
}

func (p *Pod) readMetadata(holder map[string]any) error {
	metadata, err := nested(holder, "metadata")
	if err != nil {
		return err
	}
	p.hasMetadata = metadata != nil
	for _, field := range []string{"generateName", "name"} {
		name, err := text(metadata, field)
		if err != nil {
			return fmt.Errorf("metadata: %w", err)
		}
		if name != "" {
			p.Name = name
		}
	}
	if err := p.readOwner(metadata); err != nil {
		return err
	}
	annotations, err := nested(metadata, "annotations")
	if err != nil {
		return err
	}
	p.hasAnnotations = annotations != nil
	_, p.mirror = annotations[mirrorAnnotation]
	for k := range annotations {
		if p.annotations[k], err = text(annotations, k); err != nil {
			return fmt.Errorf("metadata.annotations: %w", err)
		}
	}
	return nil
}

// readOwner reads the one owner reference that says that it is the controller's.
// One of any other kind, or one that names no possible object, is none.
func (p *Pod) readOwner(metadata map[string]any) error {
	references, err := objects(metadata, "ownerReferences")
	if err != nil {
		return fmt.Errorf("metadata.%w", err)
	}
	for _, r := range references {
		if controller, _ := r["controller"].(bool); !controller {
			continue
		}
		var fields [4]string
		for i, field := range []string{"apiVersion", "kind", "name", "uid"} {
			if fields[i], err = text(r, field); err != nil {
				return fmt.Errorf("metadata.ownerReferences: %w", err)
			}
		}
		p.Owner, _ = owner.New(fields[0], fields[1], fields[2], fields[3])
		return nil
	}
	return nil
}

func (p *Pod) readSpec(spec map[string]any) (err error) {
	if p.ServiceAccount, err = text(spec, "serviceAccountName"); err != nil {
		return err
	}
	if p.node, err = text(spec, "nodeName"); err != nil {
		return err
	}
	secrets, err := objects(spec, "imagePullSecrets")
	if err != nil {
		return err
	}
	for _, s := range secrets {
		name, err := text(s, "name")
		if err != nil {
			return fmt.Errorf("imagePullSecrets: %w", err)
		}
		if name != "" && len(p.PullSecrets) < maxSecrets {
			p.PullSecrets = append(p.PullSecrets, name)
		}
	}
	switch p.Platform, err = platforms(spec); {
	case errors.Is(err, ErrPlatforms):
		// An object that exists, with images that do not change, stays as it is.
		p.PlatformErr = err
	case err != nil:
		return err
	}
	if p.location.ephemeralOnly {
		return p.readContainers(spec, "ephemeralContainers", EphemeralContainer)
	}
	for _, list := range []struct {
		field string
		use   Use
	}{
		{"initContainers", InitContainer},
		{"containers", Container},
		{"ephemeralContainers", EphemeralContainer},
	} {
		if err := p.readContainers(spec, list.field, list.use); err != nil {
			return err
		}
	}
	return p.readVolumes(spec)
}

func (p *Pod) readContainers(spec map[string]any, list string, use Use) error {
	containers, err := objects(spec, list)
	if err != nil {
		return err
	}
	for i, c := range containers {
		if err := p.add(use, c, c, "image", p.location.pointer("spec", list, i, "image")); err != nil {
			return fmt.Errorf("%s[%d]: %w", list, i, err)
		}
	}
	return nil
}

func (p *Pod) readVolumes(spec map[string]any) error {
	volumes, err := objects(spec, "volumes")
	if err != nil {
		return err
	}
	for i, v := range volumes {
		image, err := nested(v, "image")
		if err == nil && image != nil {
			err = p.add(Volume, v, image, "reference", p.location.pointer("spec", "volumes", i, "image", "reference"))
		}
		if err != nil {
			return fmt.Errorf("volumes[%d]: %w", i, err)
		}
	}
	return nil
}

// add appends the image that holder has in field, named by named's name.
func (p *Pod) add(use Use, named, holder map[string]any, field, pointer string) error {
	name, err := text(named, "name")
	if err != nil {
		return err
	}
	reference, err := text(holder, field)
	if err != nil {
		return err
	}
	if reference != "" {
		p.Images = append(p.Images, Image{Use: use, Name: name, Reference: reference, pointer: pointer})
	}
	return nil
}

// nested returns the object at path in m, nil when it is absent or null.
func nested(m map[string]any, path ...string) (map[string]any, error) {
	for i, segment := range path {
		v, ok := m[segment]
		if !ok || v == nil {
			return nil, nil
		}
		if m, ok = v.(map[string]any); !ok {
			return nil, fmt.Errorf("%s is not an object", join(path[:i+1]))
		}
	}
	return m, nil
}

func join(path []string) string {
	s := path[0]
	for _, p := range path[1:] {
		s += "." + p
	}
	return s
}

// objects returns the list of objects in field.
func objects(m map[string]any, field string) ([]map[string]any, error) {
	v, ok := m[field]
	if !ok || v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%s is not a list", field)
	}
	out := make([]map[string]any, len(list))
	for i, item := range list {
		if out[i], ok = item.(map[string]any); !ok {
			return nil, fmt.Errorf("%s[%d] is not an object", field, i)
		}
	}
	return out, nil
}

// text returns the string in field, empty when it is absent or null.
func text(m map[string]any, field string) (string, error) {
	v, ok := m[field]
	if !ok || v == nil {
		return "", nil
	}
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("%s is not a string", field)
	}
	return s, nil
}
