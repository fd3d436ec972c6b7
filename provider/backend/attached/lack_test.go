package attached_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/backend/route"
	"github.com/imagegate/imagegate/provider/report"
)

// elsewhere has the suite's images where the test's registry is.
type elsewhere struct {
	route.Backend
	registry string
}

func (e elsewhere) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	image.Registry, image.Authorization = e.registry, ""
	return e.Backend.Scan(ctx, image)
}

// lacking is a backend for whose image a signed report is attached that lacks
// something, before a scanner that fails.
func lacking(t *testing.T, s backendtest.Script) backendtest.Backend {
	t.Helper()
	w := newWorld(t, true)
	digest, err := v1.NewHash(backendtest.Image(0).Digest)
	if err != nil {
		t.Fatal(err)
	}
	w.attachTo(v1.Descriptor{Digest: digest, MediaType: types.OCIManifestSchema1, Size: 1},
		attachedtest.BundleType, attachedtest.BundleType, w.signer.SignedBundle(t, lackingStatement(t, s, digest.String())))
	return elsewhere{w.finder().Wrap(&next{script: backendtest.Script{Down: true}}), w.server.URL}
}

// lackingStatement is about Grype's report of the script's findings.
func lackingStatement(t *testing.T, s backendtest.Script, digest string) []byte {
	t.Helper()
	record := grype(now())

	var (
		result     = record["scanner"].(map[string]any)["result"].(map[string]any)
		metadata   = record["metadata"].(map[string]any)
		descriptor = result["descriptor"].(map[string]any)
	)
	matches := []any{}
	for _, v := range s.Findings {
		matches = append(matches, map[string]any{
			"vulnerability": map[string]any{"id": v.ID, "severity": v.Severity.String()},
			"artifact":      map[string]any{"name": v.Package, "version": v.Installed},
		})
	}
	if len(matches) > 0 {
		lackingMatch(matches[0].(map[string]any)["vulnerability"].(map[string]any), matches[0].(map[string]any)["artifact"].(map[string]any), s.Lack)
	}
	result["matches"] = matches
	var subjects = []string{digest}
	ahead := time.Now().AddDate(1, 0, 0)
	switch s.Lack {
	case backendtest.NoScanner:
		delete(descriptor, "name")
	case backendtest.NoTime:
		delete(descriptor, "timestamp")
		delete(metadata, "scanFinishedOn")
	case backendtest.FutureTime:
		descriptor["timestamp"], metadata["scanFinishedOn"] = ahead, ahead
	case backendtest.FutureDatabase:
		descriptor["db"] = map[string]any{"built": ahead}
	case backendtest.NoSubject:
		subjects = nil
	case backendtest.OtherSubject:
		subjects = []string{backendtest.Image(1).Digest}
	case backendtest.NoList:
		delete(result, "matches")
	case backendtest.NullList:
		result["matches"] = nil
	case backendtest.RenamedList:
		result["findings"] = matches
		delete(result, "matches")
	case backendtest.Silence:
		delete(result, "distro")
	default:
	}
	return attachedtest.Statement(t, predicate.CosignVuln, record, subjects...)
}

func lackingMatch(vulnerability, artifact map[string]any, lack backendtest.Lack) {
	switch lack {
	case backendtest.NoID:
		delete(vulnerability, "id")
	case backendtest.NoPackage:
		delete(artifact, "name")
	case backendtest.NoSeverity:
		delete(vulnerability, "severity")
	case backendtest.UnknownSeverity:
		vulnerability["severity"] = "Catastrophic"
	case backendtest.OnlyScore:
		delete(vulnerability, "severity")
		vulnerability["cvss"] = []any{map[string]any{"metrics": map[string]any{"baseScore": 9.8}}}
	default:
	}
}

// Without this the suite's reports could be passed over for another reason.
func TestTheSuitesReportCountsWhenItLacksNothing(t *testing.T) {
	scan, err := lacking(t, backendtest.Script{Findings: backendtest.Findings()}).Scan(t.Context(), backendtest.Image(0))
	if err != nil || !scan.Attached || len(scan.Vulnerabilities) != 2 {
		b, _ := json.Marshal(scan)
		t.Errorf("%.500s, %v", b, err)
	}
}
