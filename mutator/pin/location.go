package pin

import (
	"strconv"
	"strings"
)

// Location is where an object keeps its Pod: the path of the object that has
// the Pod's metadata and spec.
type Location struct {
	// Kind is the object's kind as --workloads spells it.
	Kind string
	path []string
	// ephemeralOnly is true where the API server takes over nothing but
	// spec.ephemeralContainers.
	ephemeralOnly bool
}

// Locate returns where group's resource keeps its Pod. It is false for any
// other resource and for subresources that change no image, such as
// pods/status, pods/binding and pods/resize.
//
// pods/ephemeralcontainers carries a whole Pod, of which the API server takes
// over spec.ephemeralContainers only: after the mutating webhooks it silently
// resets the rest of the spec, labels and annotations to what is stored
// (dropNonEphemeralContainerUpdates in the Kubernetes source,
// pkg/registry/core/pod/strategy.go). So other images are not looked at there,
// the tag stays in the reference for want of an annotation, and a warning tells
// the author what was written.
func Locate(group, resource, subresource string) (Location, bool) {
	switch group + "/" + resource + "/" + subresource {
	case "/pods/":
		return Location{Kind: "Pod"}, true
	case "/pods/ephemeralcontainers":
		return Location{Kind: "Pod", ephemeralOnly: true}, true
	case "/podtemplates/":
		return Location{Kind: "PodTemplate", path: []string{"template"}}, true
	case "/replicationcontrollers/":
		return inTemplate("ReplicationController"), true
	case "apps/deployments/":
		return inTemplate("Deployment"), true
	case "apps/statefulsets/":
		return inTemplate("StatefulSet"), true
	case "apps/daemonsets/":
		return inTemplate("DaemonSet"), true
	case "apps/replicasets/":
		return inTemplate("ReplicaSet"), true
	case "batch/jobs/":
		return inTemplate("Job"), true
	case "batch/cronjobs/":
		return Location{Kind: "CronJob", path: []string{"spec", "jobTemplate", "spec", "template"}}, true
	}
	return Location{}, false
}

// Workloads returns the kinds other than Pod that Locate knows.
func Workloads() []string {
	return []string{"CronJob", "DaemonSet", "Deployment", "Job", "PodTemplate", "ReplicaSet", "ReplicationController", "StatefulSet"}
}

func inTemplate(kind string) Location {
	return Location{Kind: kind, path: []string{"spec", "template"}}
}

// pointer returns the RFC 6901 pointer of segments below l.
func (l Location) pointer(segments ...any) string {
	var b strings.Builder
	for _, s := range l.path {
		writeSegment(&b, s)
	}
	for _, s := range segments {
		switch s := s.(type) {
		case int:
			writeSegment(&b, strconv.Itoa(s))
		case string:
			writeSegment(&b, s)
		}
	}
	return b.String()
}

func writeSegment(b *strings.Builder, s string) {
	b.WriteByte('/')
	_, _ = strings.NewReplacer("~", "~0", "/", "~1").WriteString(b, s)
}
