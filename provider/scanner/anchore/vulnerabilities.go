package anchore

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/scanner/internal/remote"
)

// vulnerabilities asks for the findings, which are no part of the verdict.
func (s *scan) vulnerabilities(ctx context.Context) ([]report.Vulnerability, error) {
	if s.c.o.Findings == FindingsOff {
		return nil, nil
	}
	list, err := s.listed(ctx)
	if err == nil {
		return list, nil
	}
	if s.c.o.Findings == FindingsRequired {
		return nil, err
	}
	f := report.FailureOf(err)
	s.c.o.Logger.WarnContext(ctx, "a verdict has no list of vulnerabilities",
		"scanner", s.d.product, "digest", s.s.digest, "reason", f.Reason, "message", f.Message)
	return nil, nil
}

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
	ID        string `json:"vuln"`
	Severity  string `json:"severity"`
	Fix       string `json:"fix"`
	URL       string `json:"url"`
	Package   string `json:"package"`
	Name      string `json:"package_name"`
	Installed string `json:"package_version"`
	NVD       []struct {
		ID string `json:"id"`
	} `json:"nvd_data"`
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
			return nil, errors.New("it holds a vulnerability without a name")
		}
		out = append(out, v.vulnerability())
	}
	report.SortVulnerabilities(out)
	return out, nil
}

func (v vulnerability) vulnerability() report.Vulnerability {
	out := report.Vulnerability{ID: v.ID, Package: known(v.Name), Installed: known(v.Installed), Fixed: known(v.Fix)}
	if out.Package == "" {
		out.Package = known(v.Package)
	}
	if s, err := report.ParseSeverity(v.Severity); err == nil {
		out.Severity = s
	}
	// An advisory of a distribution may cover several CVEs: those are parts of
	// it and no other names for it.
	if len(v.NVD) == 1 && v.NVD[0].ID != "" && v.NVD[0].ID != v.ID {
		out.Aliases = []string{v.NVD[0].ID}
	}
	if u := known(v.URL); u != "" {
		out.Links = []string{u}
	}
	return out
}

// known reads a field in which the service writes out that it has nothing.
func known(s string) string {
	if strings.EqualFold(s, "None") || strings.EqualFold(s, "N/A") {
		return ""
	}
	return s
}
