package attached

import (
	"errors"
	"fmt"
	"strings"

	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
	"github.com/imagegate/imagegate/provider/report"
)

// looked returns nil when a report about the subject is one about the image.
//
// Whoever scans an index scans one of its manifests, that of the platform he
// works on, and a signature over the index says nothing of the others. So a
// report about the index counts for the manifest alone that it says it looked
// at: by the manifest's digest, or by that of its configuration. One about the
// manifest counts unless it says that it looked at another platform: cosign's
// --recursive attaches the one report to every manifest of an index.
func (l *lookup) looked(at predicate.Target, subject string) error {
	if os, arch, _ := strings.Cut(l.image.Platform, "/"); l.image.Platform != "" {
		arch, _, _ = strings.Cut(arch, "/")
		if differs(at.OS, os) || differs(at.Architecture, arch) {
			return fmt.Errorf("it looked at the manifest for %s/%s", report.Clean(at.OS, maxSaid), report.Clean(at.Architecture, maxSaid))
		}
	}
	switch {
	case subject == l.image.Digest, at.Manifest == l.image.Digest:
		return nil
	case at.Config == "":
		return errors.New("it is about the index and does not say which of its manifests it looked at")
	}
	config, err := l.config()
	if err != nil {
		return fmt.Errorf("it is about the index, and the image's own manifest, to compare it with, cannot be read: %w: %w", errUnread, err)
	}
	if at.Config != config {
		return errors.New("it is about the index and looked at another of its manifests")
	}
	return nil
}

// errUnread fails the look-up: a report that could not be compared might be the
// newer and worse one.
var errUnread = errors.New("something could not be read")

// differs reports whether both are told and not the same.
func differs(told, is string) bool { return told != "" && is != "" && told != is }
