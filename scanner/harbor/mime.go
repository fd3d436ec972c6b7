package harbor

import (
	"mime"
	"strings"
)

// Media types without their version parameter.
const (
	TypeMetadata     = "application/vnd.scanner.adapter.metadata+json"
	TypeScanRequest  = "application/vnd.scanner.adapter.scan.request+json"
	TypeScanResponse = "application/vnd.scanner.adapter.scan.response+json"
	TypeError        = "application/vnd.scanner.adapter.error+json"
	TypeReport       = "application/vnd.security.vulnerability.report"
	// TypeReportLegacy is the report's name before Harbor 2.2.
	TypeReportLegacy = "application/vnd.scanner.adapter.vuln.report.harbor+json"
)

// HeaderShare is a header of a scan request that is not in Harbor's API: a name
// of the asker's choice for those on whose behalf it asks, among whom the worker
// is shared fairly.
const HeaderShare = "Imagegate-Share"

// Media types of the artifacts that are scanned.
const (
	TypeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	TypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// Versions of the API whose media types are understood. The documents are the
// same in both.
const (
	Version10 = "1.0"
	Version11 = "1.1"
)

// WithVersion spells a media type the way the specification does.
func WithVersion(mediaType, version string) string {
	return mediaType + "; version=" + version
}

// Negotiate picks the first of the offers (full media types with version) that
// an Accept header allows; an empty header takes the first. It returns false
// when none fits. Quality values are read only as far as q=0.
func Negotiate(accept string, offers ...string) (string, bool) {
	if strings.TrimSpace(accept) == "" {
		return offers[0], true
	}
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil || params["q"] == "0" {
			continue
		}
		for _, offer := range offers {
			if accepts(mediaType, params["version"], offer) {
				return offer, true
			}
		}
	}
	return "", false
}

func accepts(mediaType, version, offer string) bool {
	offered, params, err := mime.ParseMediaType(offer)
	if err != nil {
		return false
	}
	switch {
	case mediaType == "*/*", mediaType == "application/*":
		return true
	case mediaType != offered:
		return false
	default:
		return version == "" || version == params["version"]
	}
}

// RequestVersion reads the Content-Type of a scan request: its version, and
// whether it is one at all.
func RequestVersion(contentType string) (string, bool) {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != TypeScanRequest {
		return "", false
	}
	switch params["version"] {
	case Version10, Version11:
		return params["version"], true
	case "":
		return Version11, true
	default:
		return "", false
	}
}
