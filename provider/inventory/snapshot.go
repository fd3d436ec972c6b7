package inventory

import (
	"maps"
	"slices"
	"time"
)

// Phase is how much a Snapshot knows. The set is closed: it labels a metric.
type Phase string

const (
	// Unknown means that nothing has been read yet, so that an absence says nothing.
	Unknown Phase = "unknown"
	// Incomplete means that what is there was true when it was read, and more may run.
	Incomplete Phase = "incomplete"
	// Complete means that what is not there does not run.
	Complete Phase = "complete"
)

// Phases returns all phases.
func Phases() []Phase { return []Phase{Unknown, Incomplete, Complete} }

// State is what a Snapshot is worth. It has to be shown with whatever is read out
// of it.
type State struct {
	Phase Phase
	// Reason is a sentence for people that says why the Phase is not Complete;
	// empty when it is.
	Reason string
	// At is when the snapshot was made.
	At time.Time
	// Pods is how many are known, LeftOut about how many are known to be missing
	// for want of room.
	Pods, LeftOut int
	// OwnersByName says why the workloads of Pods are told by names alone; empty
	// when the owners are read.
	OwnersByName string
}

// Workload is who makes Pods: the Deployment of a ReplicaSet, the CronJob of a Job,
// any other controller, or the Pod itself when it has none.
type Workload struct {
	Namespace string
	// Kind is that of the object, as Deployment; its group is not kept.
	Kind string
	Name string
}

// Use is what a Pod uses an image for.
type Use string

// The uses.
const (
	AsContainer          Use = "container"
	AsInitContainer      Use = "init container"
	AsEphemeralContainer Use = "ephemeral container"
	AsVolume             Use = "volume"
)

// Container is one that uses an image; for AsVolume its name is the volume's.
type Container struct {
	Use  Use
	Name string
}

// Place is one image in one workload. Texts are those of Pods' authors, cleaned and
// cut to MaxText bytes.
type Place struct {
	Workload Workload
	// Image is the reference that the Pods have, Original what was written before it
	// was pinned, by the annotation, or empty: a claim of whoever made the Pod.
	Image, Original string
	// Pinned is the digest in Image, Running the one that nodes say the containers
	// run; each is empty when it is not known. A tag that was moved shows as several
	// places, and an index may be pinned of which the node names a manifest.
	Pinned, Running string
	// Containers are which, in the order of their uses and names.
	Containers []Container
	// Pods is how many of the workload's have it, Since when the oldest of these was
	// created.
	Pods  int
	Since time.Time
}

// Digests are those by which the place is found: none, one, or two that differ.
func (p *Place) Digests() []string {
	switch {
	case p.Pinned == "" && p.Running == "":
		return nil
	case p.Pinned == "" || p.Pinned == p.Running:
		return []string{p.Running}
	case p.Running == "":
		return []string{p.Pinned}
	}
	return []string{p.Pinned, p.Running}
}

// Image is a digest and where it runs.
type Image struct {
	Digest string
	// Places are ordered by namespace, kind and name of the workload, and image.
	Places []*Place
	// Pods is the sum over Places; a Pod that has the image in two spellings counts
	// twice. Since is the earliest of theirs.
	Pods  int
	Since time.Time
}

// Namespaces are those where the image runs, ordered.
func (i *Image) Namespaces() []string {
	var out []string
	for _, p := range i.Places {
		if n := len(out); n == 0 || out[n-1] != p.Workload.Namespace {
			out = append(out, p.Workload.Namespace)
		}
	}
	return out
}

// Namespace is what runs in one namespace.
type Namespace struct {
	Name string
	// Pods is how many are known, LeftOut about how many are not for want of room.
	Pods, LeftOut int
	// Places are ordered by kind and name of the workload, and image. Those without
	// a digest are among them.
	Places []*Place
	// Digests are those of Places, ordered.
	Digests []string
}

// Snapshot is what was known at one moment. It never changes and holds no lock;
// what its methods return belongs to it and must not be changed.
type Snapshot struct {
	state        State
	images       map[string]*Image
	digests      []string
	namespaces   map[string]*Namespace
	names        []string
	workloads    map[Workload][]*Place
	undetermined []*Place
	owners       *owners
}

// State says what the snapshot is worth.
func (s *Snapshot) State() State { return s.state }

// Image returns where a digest, as sha256:..., runs. That it is not there means
// something only while State is Complete and Undetermined is empty.
func (s *Snapshot) Image(digest string) (*Image, bool) {
	i, ok := s.images[digest]
	return i, ok
}

// Images returns all, ordered by digest.
func (s *Snapshot) Images() []*Image {
	out := make([]*Image, len(s.digests))
	for i, d := range s.digests {
		out[i] = s.images[d]
	}
	return out
}

// Namespace returns what runs in a namespace.
func (s *Snapshot) Namespace(name string) (*Namespace, bool) {
	n, ok := s.namespaces[name]
	return n, ok
}

// Namespaces returns all that have Pods, ordered by name.
func (s *Snapshot) Namespaces() []*Namespace {
	out := make([]*Namespace, len(s.names))
	for i, n := range s.names {
		out[i] = s.namespaces[n]
	}
	return out
}

// Workload returns the images of a workload, none for one that has no Pods.
func (s *Snapshot) Workload(w Workload) []*Place { return s.workloads[w] }

// Undetermined are the places whose digest nobody can tell: containers that have
// not started, or whose node names none, and whose image has none either.
func (s *Snapshot) Undetermined() []*Place { return s.undetermined }

// Top returns the workload of an object that makes Pods, which need not have any:
// the Deployment of a ReplicaSet, the CronJob of a Job, and else the object itself.
func (s *Snapshot) Top(w Workload) Workload { return s.owners.top(w, "") }

// Empty returns a snapshot that knows nothing, for readers of an inventory that
// does not run. reason is State's.
func Empty(reason string) *Snapshot {
	return &Snapshot{state: State{Phase: Unknown, Reason: reason}, owners: newOwners(0)}
}

// builder makes a Snapshot out of records.
type builder struct {
	places map[placeKey]*building
	pods   map[string]int
	owners *owners
}

// placeKey is what makes a place one.
type placeKey struct {
	workload                         Workload
	image, original, pinned, running text
}

type building struct {
	place Place
	// last is the Pod that was counted last.
	last *record
}

func newBuilder(o *owners) *builder {
	return &builder{places: map[placeKey]*building{}, pods: map[string]int{}, owners: o}
}

func (b *builder) add(namespace string, r *record) {
	w := b.owners.top(Workload{namespace, r.ownerKind.String(), r.ownerName.String()}, r.deployment.String())
	if r.ownerName == (text{}) {
		w = Workload{namespace, "Pod", r.name}
	}
	b.pods[namespace]++
	since := time.Unix(r.created, 0).UTC()
	for _, u := range r.uses {
		k := placeKey{w, u.image, u.original, u.pinned, u.running}
		at := b.places[k]
		if at == nil {
			at = &building{place: Place{
				Workload: w, Image: u.image.String(), Original: u.original.String(), Pinned: u.pinned.String(), Running: u.running.String(), Since: since,
			}}
			b.places[k] = at
		}
		if at.last != r {
			at.last = r
			at.place.Pods++
		}
		if since.Before(at.place.Since) {
			at.place.Since = since
		}
		c := Container{uses[u.use], u.name.String()}
		if i, found := slices.BinarySearchFunc(at.place.Containers, c, compareContainers); !found && len(at.place.Containers) < maxContainers {
			at.place.Containers = slices.Insert(at.place.Containers, i, c)
		}
	}
}

func (b *builder) snapshot(state State, leftOut map[string]int) *Snapshot {
	all := make([]*Place, 0, len(b.places))
	for _, at := range b.places {
		all = append(all, &at.place)
	}
	return assemble(state, all, b.pods, leftOut, b.owners)
}

// Of returns a snapshot of places, each of Pods of its own, for readers that are tested
// without a cluster.
func Of(state State, places ...*Place) *Snapshot {
	pods := map[string]int{}
	for _, p := range places {
		pods[p.Workload.Namespace] += p.Pods
	}
	return assemble(state, places, pods, nil, newOwners(0))
}

// assemble orders places, which it takes over, by all that they are looked up by.
func assemble(state State, all []*Place, pods, leftOut map[string]int, owners *owners) *Snapshot {
	s := &Snapshot{
		state: state, images: map[string]*Image{}, namespaces: make(map[string]*Namespace, len(pods)), workloads: map[Workload][]*Place{}, owners: owners,
	}
	slices.SortFunc(all, comparePlaces)
	for n, pods := range pods {
		s.namespaces[n] = &Namespace{Name: n, Pods: pods}
	}
	for n, count := range leftOut {
		if s.namespaces[n] == nil {
			s.namespaces[n] = &Namespace{Name: n}
		}
		s.namespaces[n].LeftOut = count
	}
	for _, p := range all {
		n := s.namespaces[p.Workload.Namespace]
		n.Places = append(n.Places, p)
		s.workloads[p.Workload] = append(s.workloads[p.Workload], p)
		digests := p.Digests()
		if len(digests) == 0 {
			s.undetermined = append(s.undetermined, p)
		}
		for _, d := range digests {
			s.image(d).add(p)
			n.Digests = append(n.Digests, d)
		}
	}
	for _, n := range s.namespaces {
		slices.Sort(n.Digests)
		n.Digests = slices.Compact(n.Digests)
	}
	s.digests = slices.Sorted(maps.Keys(s.images))
	s.names = slices.Sorted(maps.Keys(s.namespaces))
	return s
}

func (s *Snapshot) image(digest string) *Image {
	i := s.images[digest]
	if i == nil {
		i = &Image{Digest: digest}
		s.images[digest] = i
	}
	return i
}

func (i *Image) add(p *Place) {
	if len(i.Places) == 0 || p.Since.Before(i.Since) {
		i.Since = p.Since
	}
	i.Places = append(i.Places, p)
	i.Pods += p.Pods
}
