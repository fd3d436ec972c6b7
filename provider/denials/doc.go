// Package denials remembers which images were not let in, of whom, and why: what a
// Pod's author saw in a terminal, or nobody did because a controller got it. All
// replicas have all of it in memory and share it by a bucket, so that it outlives
// a restart.
//
// # What is known
//
// The mutator asks about the images of each Pod before any policy does, and says for
// whom (package wire: user, owner, pod). What it was answered is an Attempt: the
// provider's word on the image at that time. Whether a Constraint then denied the
// Pod is Gatekeeper's, and not known here: one in dryrun does not, and one may deny
// what is accepted. Dry runs and audit are no attempts. Not seen either are Pods that
// the mutator does not see or could not ask about.
//
// Attempts for one owner and one image, as it was written, are one Entry. It ends as
// resolved when the same owner and image are answered with accepted, and one that is
// pending, too, when Gatekeeper is told so of that image in the namespace: the Pod
// that waited was then let in without a second attempt.
//
// # Bounds
//
// An Entry's texts are cleaned and cut: whoever creates Pods writes them. All together
// have Bytes; what does not fit goes from the namespace that has the most, the resolved
// before the others, the oldest first. After KeepFor without an attempt an Entry goes.
package denials
