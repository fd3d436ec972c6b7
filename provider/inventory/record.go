package inventory

import (
	"strings"
	"unique"

	digests "github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/provider/report"
)

const (
	// MaxText bounds each text that is kept. An image's longest name with tag and
	// digest is shorter; what an author writes beyond is cut.
	MaxText = 512
	// maxContainers bounds the containers that are told of one place.
	maxContainers = 64
	// maxUses bounds the images of one Pod, as the policies do, which deny what has
	// more.
	maxUses = 512

	// The annotations of the mutator (mutator/pin), which the provider may not import.
	originalPrefix       = "original-image.imagegate.dev/"
	volumeOriginalPrefix = "volume.original-image.imagegate.dev/"
	templateHashLabel    = "pod-template-hash"
)

// text is a string that is in memory once. The zero value is empty.
type text struct{ h unique.Handle[string] }

func intern(s string) text {
	if s == "" {
		return text{}
	}
	return text{unique.Make(s)}
}

// written is a text of a Pod's author.
func written(s string) text { return intern(report.Clean(s, MaxText)) }

func (t text) String() string {
	if t == (text{}) {
		return ""
	}
	return t.h.Value()
}

// record is what is kept of a Pod.
type record struct {
	name string
	// ownerKind and ownerName are the controller's; zero: the Pod has none.
	ownerKind, ownerName text
	// deployment is what the owner's name tells.
	deployment text
	// created is in seconds of Unix time.
	created int64
	uses    []use
	// bytes is about what it takes, as if nothing were shared.
	bytes int
}

// use is one image in a Pod.
type use struct {
	use                              uint8 // in uses
	name                             text
	image, original, pinned, running text
}

const (
	recordOverhead = 192
	useOverhead    = 64
)

// newRecord returns what is kept of p, and nothing that holds p in memory.
func newRecord(p *corev1.Pod) *record {
	r := &record{name: strings.Clone(p.Name), created: p.CreationTimestamp.Unix()}
	r.ownerKind, r.ownerName = controllerOf(p.OwnerReferences)
	if r.ownerKind.String() == kindReplicaSet {
		r.deployment = written(deploymentOf(r.ownerName.String(), p.Labels[templateHashLabel]))
	}
	n := len(p.Spec.InitContainers) + len(p.Spec.Containers) + len(p.Spec.EphemeralContainers)
	r.uses = make([]use, 0, min(n, maxUses))
	running := runningOf(p)
	for i := range p.Spec.Containers {
		c := &p.Spec.Containers[i]
		r.add(0, c.Name, c.Image, p.Annotations[originalPrefix+c.Name], running)
	}
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		r.add(1, c.Name, c.Image, p.Annotations[originalPrefix+c.Name], running)
	}
	for i := range p.Spec.EphemeralContainers {
		c := &p.Spec.EphemeralContainers[i]
		r.add(2, c.Name, c.Image, p.Annotations[originalPrefix+c.Name], running)
	}
	for i := range p.Spec.Volumes {
		if v := &p.Spec.Volumes[i]; v.Image != nil {
			r.add(3, v.Name, v.Image.Reference, p.Annotations[volumeOriginalPrefix+v.Name], nil)
		}
	}
	r.bytes = recordOverhead + len(r.name) + len(r.ownerName.String())
	for _, u := range r.uses {
		r.bytes += useOverhead + len(u.name.String()) + len(u.image.String()) + len(u.original.String()) + len(u.pinned.String()) + len(u.running.String())
	}
	return r
}

func (r *record) add(kind uint8, name, image, original string, running map[string]string) {
	if image == "" || len(r.uses) >= maxUses {
		return
	}
	r.uses = append(r.uses, use{
		use: kind, name: written(name), image: written(image), original: written(original),
		pinned: intern(digestOf(image)), running: intern(digestOf(running[name])),
	})
}

// runningOf is what the node says of each container, by name.
func runningOf(p *corev1.Pod) map[string]string {
	s := &p.Status
	out := make(map[string]string, len(s.ContainerStatuses)+len(s.InitContainerStatuses)+len(s.EphemeralContainerStatuses))
	for _, list := range [][]corev1.ContainerStatus{s.ContainerStatuses, s.InitContainerStatuses, s.EphemeralContainerStatuses} {
		for i := range list {
			out[list[i].Name] = list[i].ImageID
		}
	}
	return out
}

// digestOf is the digest behind the last @ of a reference, empty where there is
// none. An imageID without a repository is the ID of the image's configuration,
// by which no report is found.
func digestOf(reference string) string {
	i := strings.LastIndexByte(reference, '@')
	if i < 0 {
		return ""
	}
	d, err := digests.Parse(reference[i+1:])
	if err != nil {
		return ""
	}
	return d.String()
}

// controllerOf is the one of the owners that says that it is the controller.
func controllerOf(references []metav1.OwnerReference) (kind, name text) {
	for i := range references {
		if o := &references[i]; o.Controller != nil && *o.Controller {
			return written(o.Kind), written(o.Name)
		}
	}
	return text{}, text{}
}
