package verdict

import (
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/reference"
	"github.com/imagegate/imagegate/provider/report"
)

// Subject is the image as it was asked for.
type Subject struct {
	// Reference is what the Pod wrote.
	Reference string
	// Digest was pinned for it, of an index or of a manifest: sha256:...
	Digest string
	// Manifest is the digest of the manifest that was scanned.
	Manifest string
	// Namespace is the Pod's; empty when the key carried none.
	Namespace string
}

// Outcome is a verdict.
type Outcome struct {
	Status report.Status
	// Message is one sentence that says why.
	Message string
	// Scan is what was judged, with Suppressed filled in. It is the scan that
	// was passed in when nothing was suppressed, else a copy: stored scans are
	// shared.
	Scan *report.Scan
}

// image is a Subject in the form that patterns and products are compared with.
type image struct {
	// repository is spelled out (index.docker.io/library/nginx). It is empty
	// for a reference that cannot be read, which matches no repository.
	repository string
	// tag is empty when the reference has a digest: the digest decides what
	// runs then, and anybody can write any tag before it.
	tag       string
	digest    string
	manifest  string
	namespace string
}

func imageOf(s Subject) image {
	i := image{digest: s.Digest, manifest: s.Manifest, namespace: s.Namespace}
	ref, err := reference.Parse(s.Reference)
	if err != nil {
		return i
	}
	i.repository = reference.Repository(ref.Context())
	if t, ok := ref.(name.Tag); ok {
		i.tag = t.TagStr()
	}
	return i
}

// has reports whether d is one of the image's digests.
func (i image) has(d string) bool {
	return d != "" && (d == i.manifest || d == i.digest)
}
