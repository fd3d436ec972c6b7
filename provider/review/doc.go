// Package review judges manifests as a cluster with Gatekeeper would, without
// a cluster: Gatekeeper's own engine, target, expansion and matching run in
// this process over the ConstraintTemplates and Constraints of the user's
// files, and their calls of external_data are answered by report fixtures, by a
// running provider, or by a scan on the spot. It is what `gator` cannot do, for
// gator knows no providers.
//
// What is not Gatekeeper's is only how a file becomes an admission request, and
// how the answer is printed.
package review
