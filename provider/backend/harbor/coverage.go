package harbor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

const (
	sbomCapability = "sbom"
	sbomReportType = "application/vnd.security.sbom.report+json; version=1.0"
	spdxType       = "application/spdx+json"
)

// explain learns what was looked at by a scan that lists nothing. A clean image,
// one of a distribution that the scanner does not know and an empty one have the
// same report: what tells them apart is the list of packages, from an adapter
// that makes one. Of one that does not the configuration says what to think.
//
// What even the list of packages does not tell is whether the advisories of its
// distribution are still maintained.
func (c *Client) explain(ctx context.Context, m *metadata, image backend.Image, scan *report.Scan) error {
	scan.Believed = ""
	p, ok := m.sbom(image.MediaType)
	if !ok {
		if c.options.EmptyReport == Accept {
			scan.Believed = c.options.Name
			return nil
		}
		f := report.Incomplete(report.SaidNothing)
		f.Message += " (scanner.harbor.emptyReport)"
		return f
	}
	coverage, err := c.coverage(ctx, m, image, p)
	if err == nil {
		scan.Coverage = coverage
		return nil
	}
	// An adapter that can say and does not is no adapter that cannot: an image
	// that breaks the making of its list must not pass by that.
	f := *report.FailureOf(err)
	f.Message = "the scanner reported nothing, and it was asked in vain what it looked at: " + f.Message
	return &f
}

// sbom returns how to ask for the list of packages of an image, if the adapter
// makes one that can be read.
func (m *metadata) sbom(mediaType string) (product, bool) {
	for _, cp := range m.Capabilities {
		if cp.Type != sbomCapability || !contains(cp.Produces, sbomReportType) || !contains(cp.Consumes, mediaType) {
			continue
		}
		// The attribute is optional, and SPDX is what Harbor itself asks for.
		if offered := cp.Attributes.SBOMTypes; len(offered) > 0 && !contains(offered, spdxType) {
			continue
		}
		return product{
			enabled: enabled{Type: sbomCapability, Produces: []string{sbomReportType}, Parameters: &attributes{SBOMTypes: []string{spdxType}}},
			query:   "?sbom_media_type=" + url.QueryEscape(spdxType),
		}, true
	}
	return product{}, false
}

func (c *Client) coverage(ctx context.Context, m *metadata, image backend.Image, p product) (*report.Coverage, error) {
	r, err := c.made(ctx, m, image, p)
	if err != nil {
		return nil, err
	}
	out, err := decodeSBOM(r, image.Digest, c.options.Now())
	if err != nil {
		return nil, &report.Failure{
			Reason:  report.ReasonIncomplete,
			Message: "the scanner's answer is not a list of packages: " + redact(err.Error(), append(c.options.Token.Held(), image.Authorization)...),
			Err:     err,
		}
	}
	return out, nil
}

// sbomReport is the frame of an SBOM and of SPDX what tells the coverage.
type sbomReport struct {
	GeneratedAt time.Time `json:"generated_at"`
	Artifact    artifact  `json:"artifact"`
	Scanner     agent     `json:"scanner"`
	MediaType   string    `json:"media_type"`
	SBOM        struct {
		Version  string        `json:"spdxVersion"`
		Packages []spdxPackage `json:"packages"`
	} `json:"sbom"`
}

type spdxPackage struct {
	Name    string `json:"name"`
	Version string `json:"versionInfo"`
	Purpose string `json:"primaryPackagePurpose"`
	Refs    []struct {
		Type    string `json:"referenceType"`
		Locator string `json:"referenceLocator"`
	} `json:"externalRefs"`
}

func decodeSBOM(r *reply, digest string, now time.Time) (*report.Coverage, error) {
	if err := checkType(r.header.Get("Content-Type"), sbomReportType); err != nil {
		return nil, err
	}
	var in sbomReport
	if err := json.Unmarshal(r.body, &in); err != nil {
		return nil, err
	}
	switch {
	case strings.TrimSpace(in.Scanner.Name) == "":
		return nil, errors.New("it names no scanner")
	case in.GeneratedAt.IsZero():
		return nil, errors.New("it does not say when it was made")
	case report.Future(in.GeneratedAt, now):
		return nil, errors.New("it is dated in the future")
	case in.Artifact.Digest != digest:
		return nil, fmt.Errorf("it is about %q instead of %s", in.Artifact.Digest, digest)
	case !sameType(in.MediaType, spdxType) || !strings.HasPrefix(in.SBOM.Version, "SPDX-"):
		return nil, errors.New("it is not SPDX")
	case len(in.SBOM.Packages) == 0:
		// Even the list of an empty image has the image itself.
		return nil, errors.New("it describes nothing")
	}
	return in.coverage(), nil
}

// coverage counts what can be looked up: not the image, its distribution, or the
// files in which packages were found. Packages of a distribution are looked up
// in its own advisories; where none was recognised nobody could.
func (s *sbomReport) coverage() *report.Coverage {
	c := &report.Coverage{}
	homeless := 0
	var ofDistribution string
	for _, p := range s.SBOM.Packages {
		if p.Purpose == "OPERATING-SYSTEM" {
			c.Distribution = strings.TrimSpace(p.Name + " " + p.Version)
			continue
		}
		purl, ok := p.purl()
		if p.Purpose == "CONTAINER" || !ok && p.Purpose != "LIBRARY" {
			continue
		}
		c.Packages++
		if slices.Contains([]string{packageurl.TypeDebian, packageurl.TypeRPM, packageurl.TypeApk, packageurl.TypeAlpm}, purl.Type) {
			if distro := purl.Qualifiers.Map()["distro"]; distro != "" {
				ofDistribution = distro
			} else {
				homeless++
			}
		}
	}
	if c.Distribution == "" {
		name, version, _ := strings.Cut(ofDistribution, "-")
		c.Distribution = strings.TrimSpace(name + " " + version)
	}
	if c.Distribution == "" {
		c.Unmatched = homeless
	}
	c.Distribution = report.Clean(c.Distribution, maxName)
	return c
}

// purl returns the package's URL, unless it is that of an image.
func (p *spdxPackage) purl() (packageurl.PackageURL, bool) {
	for _, r := range p.Refs {
		if r.Type != "purl" {
			continue
		}
		u, err := packageurl.FromString(r.Locator)
		if err == nil && u.Type != packageurl.TypeOCI && u.Type != packageurl.TypeDocker {
			return u, true
		}
	}
	return packageurl.PackageURL{}, false
}
