package anchore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/imagegate/imagegate/provider/backend/internal/remote"
	"github.com/imagegate/imagegate/provider/report"
)

// list adds the findings to a scan, which are no part of the verdict, and makes
// sure that it is a whole one. Where the list is not required, a verdict outlives
// one that cannot be had or that does not fit it; it has none then.
func (s *scan) list(ctx context.Context, v *verdict, out *report.Scan) error {
	out.Unlisted = true
	if s.c.o.Findings == FindingsOff {
		return s.complete(out)
	}
	found, err := s.listed(ctx)
	if err == nil && v.found && len(found) == 0 {
		err = report.Incomplete("its policy came across a vulnerability, and its list has none")
	}
	if err == nil {
		with := *out
		with.Unlisted, with.Vulnerabilities = false, found
		if err = s.complete(&with); err == nil {
			*out = with
			return nil
		}
	}
	if s.c.o.Findings == FindingsRequired {
		return err
	}
	f := report.FailureOf(err)
	s.c.o.Logger.WarnContext(ctx, "a verdict has no list of vulnerabilities",
		"scanner", s.d.product, "digest", s.s.digest, "reason", f.Reason, "message", f.Message)
	return s.complete(out)
}

func (s *scan) complete(out *report.Scan) error { return report.Complete(out, s.s.digest, s.c.o.Now()) }

func (s *scan) listed(ctx context.Context) ([]report.Vulnerability, error) {
	r, err := s.call(ctx, remote.Request{Method: http.MethodGet, Path: "/images/" + s.s.digest + "/vuln/all", Limit: s.c.o.MaxReportBytes})
	if err != nil {
		return nil, err
	}
	if r.Status != http.StatusOK {
		return nil, s.c.remote.Failed("asking for the vulnerabilities", r, s.secret)
	}
	list, err := findings(r.Body, s.s.digest)
	if err != nil {
		return nil, s.malformed("a list of vulnerabilities", r, err)
	}
	return list, nil
}

// vulnerability is the same in both versions of the API.
type vulnerability struct {
	ID        string   `json:"vuln"`
	Severity  string   `json:"severity"`
	Fix       string   `json:"fix"`
	URL       string   `json:"url"`
	Package   string   `json:"package"`
	Name      string   `json:"package_name"`
	Installed string   `json:"package_version"`
	NVD       []record `json:"nvd_data"`
	Vendor    []record `json:"vendor_data"`
}

// record is what a database says of a vulnerability; -1 is no score.
type record struct {
	ID     string `json:"id"`
	CVSSv3 score  `json:"cvss_v3"`
	CVSSv2 score  `json:"cvss_v2"`
}

type score struct {
	Base float64 `json:"base_score"`
}

// scores are the worst of all records by version 3 and by version 2 of CVSS.
func (v vulnerability) scores() []float64 {
	var v3, v2 float64
	for _, r := range slices.Concat(v.NVD, v.Vendor) {
		v3, v2 = max(v3, r.CVSSv3.Base), max(v2, r.CVSSv2.Base)
	}
	return []float64{v3, v2}
}

func findings(body []byte, digest string) ([]report.Vulnerability, error) {
	var answer struct {
		DigestV1 string          `json:"imageDigest"`
		DigestV2 string          `json:"image_digest"`
		List     []vulnerability `json:"vulnerabilities"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if answer.DigestV1+answer.DigestV2 != digest {
		return nil, errors.New("it is about another image")
	}
	if answer.List == nil {
		return nil, errors.New("it has no list")
	}
	out := make([]report.Vulnerability, 0, len(answer.List))
	for _, v := range answer.List {
		if known(v.ID) == "" {
			return nil, fmt.Errorf("a finding in %q has no identifier", report.Clean(v.Package, maxName))
		}
		found, err := v.vulnerability()
		if err != nil {
			return nil, fmt.Errorf("finding %q: %w", report.Clean(v.ID, maxName), err)
		}
		out = append(out, found)
	}
	report.Arrange(out)
	return out, nil
}

// maxName bounds an identifier that is quoted.
const maxName = 64

func (v vulnerability) vulnerability() (report.Vulnerability, error) {
	out := report.Vulnerability{ID: v.ID, Package: known(v.Name), Installed: known(v.Installed), Fixed: known(v.Fix)}
	if out.Package == "" {
		out.Package = known(v.Package)
	}
	var err error
	if out.Severity, err = report.Rate(v.Severity, v.scores()...); err != nil {
		return out, err
	}
	// An advisory of a distribution may cover several CVEs: those are parts of
	// it and no other names for it.
	if len(v.NVD) == 1 && v.NVD[0].ID != "" && v.NVD[0].ID != v.ID {
		out.Aliases = []string{v.NVD[0].ID}
	}
	if u := known(v.URL); u != "" {
		out.Links = []string{u}
	}
	return out, out.Bound()
}

// known reads a field in which the service writes out that it has nothing.
func known(s string) string {
	if strings.EqualFold(s, "None") || strings.EqualFold(s, "N/A") {
		return ""
	}
	return s
}
