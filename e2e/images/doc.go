// Package images makes imagegate's container images, and the layouts and
// registries that they are handed out by. It exists because neither Docker nor a
// registry is needed for that: a static program on an empty file system is a tar
// file and two pieces of JSON.
//
// The same sources, the same Go and the same options make the same digests,
// whatever folder and machine they are made in.
package images
