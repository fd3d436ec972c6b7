package harbor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

const (
	metadataType = "application/vnd.scanner.adapter.metadata+json; version=1.0"
	requestType  = "application/vnd.scanner.adapter.scan.request+json; version=1.1"
	responseType = "application/vnd.scanner.adapter.scan.response+json; version=1.1"
	reportType   = "application/vnd.security.vulnerability.report; version=1.1"
	// legacyType is how adapters written for version 1.0 call the same report.
	legacyType = "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0"

	databaseProperty = "harbor.scanner-adapter/vulnerability-database-updated-at"
	vulnerability    = "vulnerability"
	// cancelProperty is "true" for adapters whose scans can be given up, which is
	// not in Harbor's API: DELETE /scan/{id}.
	cancelProperty = "imagegate.dev/cancel"
	// shareProperty is "true" for adapters that share themselves by shareHeader,
	// which says on whose behalf a scan is asked for. It names a namespace: others
	// need not know it, and it would tell them which of the cluster's run an image.
	shareProperty = "imagegate.dev/share"
	shareHeader   = "Imagegate-Share"

	metadataTTL = 30 * time.Second
)

type metadata struct {
	Scanner      agent             `json:"scanner"`
	Capabilities []capability      `json:"capabilities"`
	Properties   map[string]string `json:"properties"`
}

type agent struct {
	Name    string `json:"name"`
	Vendor  string `json:"vendor"`
	Version string `json:"version"`
}

// String is the scanner's name and version, bounded and printable: it is in
// messages and is kept with every scan.
func (a agent) String() string {
	return report.Clean(strings.TrimSpace(a.Name+" "+a.Version), maxAgent)
}

const maxAgent = 128

type capability struct {
	// Type is new in 1.2; absent means vulnerabilities.
	Type     string   `json:"type"`
	Consumes []string `json:"consumes_mime_types"`
	Produces []string `json:"produces_mime_types"`
	// Attributes are of capabilities of type sbom.
	Attributes attributes `json:"additional_attributes"`
}

type attributes struct {
	SBOMTypes []string `json:"sbom_media_types,omitempty"`
}

// Generation returns what the adapter says about itself, at most half a minute
// old. Its errors are *report.Failure.
func (c *Client) Generation(ctx context.Context) (backend.Generation, error) {
	m, err := c.metadata(ctx)
	if err != nil {
		return backend.Generation{}, err
	}
	return backend.Generation{Scanner: withDatabase(m.Scanner.String(), m.Properties[kindProperty] == sampleKind), DatabaseBuiltAt: m.databaseBuiltAt()}, nil
}

// Property returns one of the properties in the adapter's metadata, which are at
// most half a minute old; empty where there is none. Its errors are
// *report.Failure.
func (c *Client) Property(ctx context.Context, name string) (string, error) {
	m, err := c.metadata(ctx)
	if err != nil {
		return "", err
	}
	return m.Properties[name], nil
}

// Answers asks for a path beside the API. Without status 200 it is a
// *report.Failure with what was said.
func (c *Client) Answers(ctx context.Context, path string) error {
	r, err := c.request(ctx, "", http.MethodGet, strings.TrimSuffix(c.base, apiPath)+path, "text/plain", "", nil, maxSmallBody)
	if err != nil {
		return err
	}
	if r.status != http.StatusOK {
		address, _ := c.place()
		return &report.Failure{
			Reason:  report.ReasonUnavailable,
			Message: report.Clean(fmt.Sprintf("the scanner at %s is not ready: %s", address, strings.TrimSpace(string(r.body))), maxSaid),
		}
	}
	return nil
}

// maxSaid bounds what an adapter's own words take of a message.
const maxSaid = 512

// Ready asks the adapter anew whether it is there and produces reports that
// can be read.
func (c *Client) Ready(ctx context.Context) error {
	m, err := c.probe(ctx)
	if err != nil {
		return err
	}
	if _, ok := m.accept("", nil); !ok {
		return m.unusable()
	}
	return nil
}

func (c *Client) metadata(ctx context.Context) (*metadata, error) {
	c.mu.Lock()
	known, at := c.known, c.knownAt
	c.mu.Unlock()
	if known != nil && time.Since(at) < metadataTTL {
		return known, nil
	}
	// Scans that start at the same time may ask twice; each within its own
	// context, which sharing one question would give up.
	return c.probe(ctx)
}

func (c *Client) probe(ctx context.Context) (*metadata, error) {
	r, err := c.call(ctx, http.MethodGet, "/metadata", metadataType, "", nil, maxSmallBody)
	if err != nil {
		return nil, err
	}
	address, setting := c.place()
	if r.status == http.StatusNotFound {
		return nil, &report.Failure{
			Reason:  report.ReasonInternal,
			Message: fmt.Sprintf("there is no Harbor scanner API at %s (%s)", address+apiPath, setting),
		}
	}
	if r.status != http.StatusOK {
		return nil, c.failed("asking the scanner what it is", r, "")
	}
	m := &metadata{}
	if err := json.Unmarshal(r.body, m); err != nil || m.Scanner.Name == "" {
		return nil, &report.Failure{
			Reason:  report.ReasonInternal,
			Message: fmt.Sprintf("what answers at %s is not a Harbor scanner (%s)", address+apiPath, setting),
			Err:     err,
		}
	}
	c.mu.Lock()
	c.known, c.knownAt = m, time.Now()
	c.mu.Unlock()
	return m, nil
}

// accept returns the report type to ask for. An empty media type stands for
// any the adapter consumes. reported records the media types it does consume.
func (m *metadata) accept(mediaType string, reported func(string)) (string, bool) {
	for _, want := range []string{reportType, legacyType} {
		for _, cp := range m.Capabilities {
			if cp.Type != "" && cp.Type != vulnerability || !contains(cp.Produces, want) {
				continue
			}
			if mediaType == "" || contains(cp.Consumes, mediaType) {
				return want, true
			}
			if reported != nil {
				for _, s := range cp.Consumes {
					reported(s)
				}
			}
		}
	}
	return "", false
}

func (m *metadata) unusable() *report.Failure {
	return &report.Failure{
		Reason:  report.ReasonInternal,
		Message: fmt.Sprintf("scanner %s does not produce vulnerability reports of the Harbor API 1.1", m.Scanner),
	}
}

func (m *metadata) databaseBuiltAt() time.Time {
	at, err := time.Parse(time.RFC3339, m.Properties[databaseProperty])
	if err != nil {
		return time.Time{}
	}
	return at
}

func contains(list []string, want string) bool {
	for _, s := range list {
		if sameType(s, want) {
			return true
		}
	}
	return false
}

// sameType compares media types with their parameters, however spaced.
func sameType(a, b string) bool {
	ta, pa, errA := mime.ParseMediaType(a)
	tb, pb, errB := mime.ParseMediaType(b)
	return errA == nil && errB == nil && ta == tb && maps.Equal(pa, pb)
}
