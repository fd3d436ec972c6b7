// Package filewatch keeps values in step with the files they are read from, so
// that certificates, exceptions and the like change without a restart.
//
// Parent directories are watched, which sees both an atomic rename and the
// ..data symlink swap by which the kubelet updates a mounted Secret or
// ConfigMap, and the files are also read again every ten seconds, which sees
// everything else. Content that no longer parses changes nothing: what was
// read last stays in use.
package filewatch
