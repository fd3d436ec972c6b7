// Package pin finds the images of Pods and Pod templates and builds the JSON
// patch that pins them. It is pure: no network, no clock.
//
// Objects are read as plain JSON and changed by exact paths, so fields that
// this build has never heard of survive.
//
// # Annotations
//
// The reference as its author wrote it is kept beside the digest:
//
//	original-image.imagegate.dev/<container name>
//	volume.original-image.imagegate.dev/<volume name>
//
// A container and a volume may share a name, and a volume's name may already
// take all 63 characters that the part after the slash can have: hence the
// second prefix rather than a suffix.
//
// These annotations are the mutator's. An image pinned now gets the truth,
// whatever the author put there. An update cannot change what is said of an image
// that it leaves as it is, and one whose image is written as the stored annotation
// says keeps the stored digest: a manifest that is applied again changes nothing,
// wherever its tag points by now. For an image that else arrives pinned (a copied
// Pod, a template pinned before, a second call for the same admission) an
// annotation stays when it names the same repository, since nobody can tell
// which tag the digest once had; otherwise it is removed, as it is for an image
// that is left without a digest and for a container that does not exist. They
// inform people, and the templates hold what they say against the rules as well:
// a rule by tag still denies what was pinned. As the author may have written them,
// they make a decision stricter and never laxer, unless the provider has seen that
// very tag mean that digest.
package pin
