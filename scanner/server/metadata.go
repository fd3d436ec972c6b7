package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/harbor"
)

// Properties that Harbor documents, and ours.
const (
	propType    = "harbor.scanner-adapter/scanner-type"
	propUpdated = "harbor.scanner-adapter/vulnerability-database-updated-at"
	propKind    = "imagegate.dev/vulnerability-database"
	propNote    = "imagegate.dev/note"
	// propCancel says that scans can be given up: DELETE /api/v1/scan/{id}.
	propCancel = "imagegate.dev/cancel"
	// propShare says that scans are shared by the header harbor.HeaderShare.
	propShare = "imagegate.dev/share"
	// propVerifies says that each byte of an image is compared with the digest that
	// leads to it, so that a report counts for the digest wherever it was read.
	propVerifies = "imagegate.dev/verifies"
	// propWorkers is how many scans run at once.
	propWorkers = "imagegate.dev/workers" //nolint:gosec // a number of scans is no secret
)

// metadata is GET /api/v1/metadata.
func (s server) metadata(w http.ResponseWriter, r *http.Request) {
	mediaType, ok := harbor.Negotiate(r.Header.Get("Accept"),
		harbor.WithVersion(harbor.TypeMetadata, harbor.Version11),
		harbor.WithVersion(harbor.TypeMetadata, harbor.Version10),
		"application/json",
	)
	if !ok {
		s.fail(w, http.StatusNotAcceptable, failure.New(failure.BadRequest, "the metadata can only be %q", harbor.TypeMetadata))
		return
	}
	s.write(w, http.StatusOK, mediaType, harbor.Metadata{
		Scanner: s.Scanner,
		Capabilities: []harbor.Capability{{
			Consumes: []string{harbor.TypeOCIManifest, harbor.TypeDockerManifest},
			Produces: []string{
				harbor.WithVersion(harbor.TypeReport, harbor.Version11),
				harbor.WithVersion(harbor.TypeReportLegacy, harbor.Version11),
				harbor.WithVersion(harbor.TypeReportLegacy, harbor.Version10),
			},
		}},
		Properties: s.properties(),
	})
}

func (s server) properties() map[string]string {
	p := map[string]string{propType: "os-package-vulnerability", propCancel: "true", propShare: "true", propVerifies: "true", propWorkers: strconv.Itoa(s.Workers)}
	at, kind, ok := s.Database.BuiltAt()
	if !ok {
		p[propKind] = "none"
		return p
	}
	p[propUpdated] = at.UTC().Format(time.RFC3339)
	p[propKind] = kind
	if kind == "sample" {
		p[propNote] = "SAMPLE vulnerability database: a handful of advisories, for tests and demonstrations only"
	}
	return p
}
