// Package images makes imagegate's container images, and the image layouts and
// registries from which others get them. It exists because this needs no Docker: an
// image of one static program without a base image is a tar file and two JSON
// documents.
//
// The same sources, the same version of Go and the same options make the same
// digests, in any folder and on any machine.
package images
