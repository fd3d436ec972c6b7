// Package attached finds reports that somebody else made of an image and
// attached to it in the registry, as OCI referrers
// (github.com/opencontainers/distribution-spec, "Listing Referrers") or under
// cosign's tag sha256-<hex>.att, and lets them stand in for a scan.
//
// Anybody who may push to a repository may attach anything to its images, so
// nothing counts but a statement that is signed with a configured key, names
// the very manifest, or the index it came from, as its subject, and is recent. A
// report must show what was looked at besides: a distribution that its scanner
// has data of, and, when it is about an index, this manifest of it. Everything
// else is passed over and counted. Whenever the look-up is in doubt, the image is scanned: an
// attachment that cannot be fetched might be the newer and worse report.
//
// A report that is passed over for being incomplete still overrules older ones.
//
// Whoever may push can also delete. The greatest age of a report bounds how
// long an old one can be kept in use by removing the newer ones.
package attached
