package anchore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/anchore"
	"github.com/imagegate/imagegate/provider/backend/anchore/anchoretest"
	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/report"
)

// posted returns the query and the body of the first submission, with its time
// taken out after a look at it.
func posted(t *testing.T, srv *anchoretest.Server) (string, map[string]any) {
	t.Helper()
	for _, a := range srv.Asked() {
		if a.Method != http.MethodPost {
			continue
		}
		var body map[string]any
		if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
			t.Fatal(err)
		}
		at := body
		key := "created_at"
		if source, ok := body["source"].(map[string]any); ok {
			at, _ = source["digest"].(map[string]any)
			key = "creation_timestamp_override"
		}
		if s, ok := at[key].(string); ok {
			if made, err := time.Parse(time.RFC3339, s); err != nil || time.Since(made) > time.Hour || !strings.HasSuffix(s, "Z") {
				t.Errorf("%s is %q", key, s)
			}
			at[key] = "now"
		}
		return a.Query, body
	}
	t.Fatal("nothing was submitted")
	return "", nil
}

func TestSubmission(t *testing.T) {
	digest := backendtest.Image(0).Digest
	tagless := "sha256-" + strings.TrimPrefix(digest, "sha256:")
	for name, tc := range map[string]struct {
		api    anchoretest.API
		submit anchore.Submit
		image  backend.Image
		query  string
		body   string
	}{
		"v1 by digest": {anchoretest.V1, "", backend.Image{Registry: "https://registry.example:5000", Repository: "team/app", Tag: "1"},
			"autosubscribe=false", `{"digest":"registry.example:5000/team/app@DIGEST","tag":"registry.example:5000/team/app:1","created_at":"now"}`},
		"v1 without a tag": {anchoretest.V1, "", backend.Image{Registry: "http://localhost:5000", Repository: "app"},
			"autosubscribe=false", `{"digest":"localhost:5000/app@DIGEST","tag":"localhost:5000/app:` + tagless + `","created_at":"now"}`},
		"v1 by tag": {anchoretest.V1, anchore.SubmitTag, backend.Image{Registry: "https://index.docker.io", Repository: "library/nginx", Tag: "1.17.9"},
			"autosubscribe=false", `{"tag":"docker.io/nginx:1.17.9"}`},
		"sysdig": {anchoretest.Sysdig, "", backend.Image{Registry: "https://index.docker.io", Repository: "airadier/test", Tag: "bad"},
			"autosubscribe=false", `{"digest":"docker.io/airadier/test@DIGEST","tag":"docker.io/airadier/test:bad","created_at":"now"}`},
		"v2 by digest": {anchoretest.V2, "", backend.Image{Registry: "https://ghcr.io", Repository: "a/b/c", Tag: "v1"},
			"auto_subscribe=false", `{"image_type":"docker","source":{"digest":{"pull_string":"ghcr.io/a/b/c@DIGEST","tag":"ghcr.io/a/b/c:v1","creation_timestamp_override":"now"}}}`},
		"v2 by tag": {anchoretest.V2, anchore.SubmitTag, backend.Image{Registry: "https://ghcr.io", Repository: "a/b", Tag: "v1"},
			"auto_subscribe=false", `{"image_type":"docker","source":{"tag":{"pull_string":"ghcr.io/a/b:v1"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			srv := server(t, anchoretest.Options{API: tc.api, Images: func(string) anchoretest.Image {
				return anchoretest.Image{Moved: digest}
			}})
			tc.image.Digest = digest
			c := client(t, srv.URL+string(tc.api), func(o *anchore.Options) { o.Submit = tc.submit })
			if _, err := c.Scan(t.Context(), tc.image); err != nil {
				t.Fatal(err)
			}
			query, body := posted(t, srv)
			var want map[string]any
			if err := json.Unmarshal([]byte(strings.ReplaceAll(tc.body, "DIGEST", digest)), &want); err != nil {
				t.Fatal(err)
			}
			if query != tc.query || !reflect.DeepEqual(body, want) {
				t.Errorf("submission is ?%s %v, want ?%s %v", query, body, tc.query, want)
			}
		})
	}
}

func TestImagesThatCannotBeNamed(t *testing.T) {
	srv := server(t, anchoretest.Options{API: anchoretest.V1})
	for name, tc := range map[string]struct {
		submit anchore.Submit
		change func(*backend.Image)
		reason report.Reason
		words  string
	}{
		"no tag":         {anchore.SubmitTag, func(i *backend.Image) { i.Tag = "" }, report.ReasonUnsupported, "scanner.anchore.submit"},
		"sha512":         {"", func(i *backend.Image) { i.Digest = "sha512:" + strings.Repeat("a", 128) }, report.ReasonUnsupported, "sha256"},
		"a path":         {"", func(i *backend.Image) { i.Digest = "sha256:../../accounts" }, report.ReasonUnsupported, "sha256"},
		"upper case":     {"", func(i *backend.Image) { i.Digest = strings.ToUpper(i.Digest) }, report.ReasonUnsupported, "sha256"},
		"no registry":    {"", func(i *backend.Image) { i.Registry = "registry" }, report.ReasonInternal, "no usable registry"},
		"no repository":  {"", func(i *backend.Image) { i.Repository = "" }, report.ReasonInternal, "no usable registry"},
		"empty registry": {"", func(i *backend.Image) { i.Registry = "\x7f" }, report.ReasonInternal, "no usable registry"},
	} {
		t.Run(name, func(t *testing.T) {
			image := backendtest.Image(0)
			tc.change(&image)
			c := client(t, srv.URL+"/v1", func(o *anchore.Options) { o.Submit = tc.submit })
			got, err := c.Scan(t.Context(), image)
			wantFailure(t, got, err, tc.reason, tc.words)
		})
	}
	if n := len(srv.Asked()); n != 0 {
		t.Errorf("the service was asked %d times", n)
	}
}

func TestVerdicts(t *testing.T) {
	for _, api := range []anchoretest.API{anchoretest.V1, anchoretest.V2, anchoretest.Sysdig} {
		for action, want := range map[string]report.Judgement{
			"go": report.JudgementPass, "warn": report.JudgementPass, "WARN": report.JudgementPass, "stop": report.JudgementFail, "STOP": report.JudgementFail,
		} {
			srv := server(t, anchoretest.Options{API: api, Images: func(string) anchoretest.Image {
				return anchoretest.Image{Action: action, Findings: backendtest.Findings()}
			}})
			got, err := client(t, srv.URL+string(api)).Scan(t.Context(), backendtest.Image(0))
			if err != nil {
				t.Fatal(err)
			}
			if got.Judgement != want || len(got.Vulnerabilities) != 2 {
				t.Errorf("%s %s: judgement %q, %d findings", api, action, got.Judgement, len(got.Vulnerabilities))
			}
			if !got.ScannedAt.Equal(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)) {
				t.Errorf("scanned at %s", got.ScannedAt)
			}
		}
	}
}

// TestInnerReportIsTheArticles: "Performing Image Scanning on Admission Controller with
// OPA", https://sysdig.com/blog/image-scanning-admission-controller/
func TestInnerReportIsTheArticles(t *testing.T) {
	s := readShape(t, "testdata/sysdig/check-200-article.json")
	digest := backendtest.Image(0).Digest
	var answer []map[string]map[string][]json.RawMessage
	if err := json.Unmarshal(s.answer(digest), &answer); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, answer[0][digest]["docker.io/nginx:1.17.9"][0]); err != nil {
		t.Fatal(err)
	}
	srv := shaped(t, anchoretest.Sysdig, s, digest)
	got, err := client(t, srv.URL+string(anchoretest.Sysdig)).Scan(t.Context(), backendtest.Image(0))
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Inner) != want.String() {
		t.Errorf("inner report is\n%s\nwant\n%s", got.Inner, want.String())
	}
	var keys map[string]any
	if err := json.Unmarshal(got.Inner, &keys); err != nil || len(keys) != 4 {
		t.Errorf("inner report has %d fields, want detail, last_evaluation, policyId and status (%v)", len(keys), err)
	}
	if !got.ScannedAt.Equal(time.Date(2020, 2, 25, 12, 30, 22, 0, time.UTC)) || got.Scanner != "Sysdig Secure" {
		t.Errorf("%s at %s", got.Scanner, got.ScannedAt)
	}
}

func TestInnerReportOfVersion2(t *testing.T) {
	s := readShape(t, "testdata/v2/check-200-stop.json")
	srv := shaped(t, anchoretest.V2, s, backendtest.Image(0).Digest)
	got, err := client(t, srv.URL+"/v2").Scan(t.Context(), backendtest.Image(0))
	if err != nil {
		t.Fatal(err)
	}
	var in struct {
		Detail struct {
			Policy map[string]any
			Result struct {
				FinalAction string `json:"final_action"`
				Reason      string `json:"final_action_reason"`
				Details     struct {
					Policy   any
					Findings []map[string]any
				}
			}
		}
		LastEvaluation string `json:"last_evaluation"`
		PolicyID       string `json:"policyId"`
		Status         string
		Digest         string `json:"image_digest"`
		Tag            string `json:"evaluated_tag"`
	}
	if err := json.Unmarshal(got.Inner, &in); err != nil {
		t.Fatal(err)
	}
	if in.Status != "fail" || in.PolicyID != "default" || in.LastEvaluation != "2025-05-02T10:00:01Z" ||
		in.Digest != backendtest.Image(0).Digest || in.Tag != "registry.example/team/app:1" {
		t.Errorf("inner report is %+v", in)
	}
	r := in.Detail.Result
	if r.FinalAction != "stop" || r.Reason != "policy_evaluation" || len(r.Details.Findings) != 1 || r.Details.Policy != nil {
		t.Errorf("result is %+v", r)
	}
	if in.Detail.Policy["name"] != "Default policy" || r.Details.Findings[0]["message"] != "no USER <root> & so on" {
		t.Errorf("policy is %v, finding %v", in.Detail.Policy, r.Details.Findings[0])
	}
}

func TestFindings(t *testing.T) {
	for _, api := range []anchoretest.API{anchoretest.V1, anchoretest.V2} {
		s := readShape(t, "testdata"+string(api)+"/vulnerabilities-200.json")
		srv := shaped(t, api, s, backendtest.Image(0).Digest)
		got, err := client(t, srv.URL+string(api)).Scan(t.Context(), backendtest.Image(0))
		if err != nil {
			t.Fatal(err)
		}
		want := []report.Vulnerability{
			{ID: "CVE-2021-38561", Aliases: []string{"GHSA-ppp9-7jff-5vj2"}, Package: "golang.org/x/text", Installed: "v0.3.5", Fixed: "0.3.7",
				Severity: report.SeverityHigh, Links: []string{"https://github.com/advisories/GHSA-ppp9-7jff-5vj2"}},
			{ID: "CVE-2005-2541", Package: "tar", Installed: "1.29b-1.1",
				Severity: report.SeverityNegligible, Links: []string{"https://security-tracker.debian.org/tracker/CVE-2005-2541"}},
		}
		if !reflect.DeepEqual(got.Vulnerabilities, want) {
			t.Errorf("findings are %+v, want %+v", got.Vulnerabilities, want)
		}
	}
}

func TestAnAdvisoryOfSeveralCVEsIsNoneOfThem(t *testing.T) {
	digest := backendtest.Image(0).Digest
	s := shape{At: "vulnerabilities", Status: 200, Body: json.RawMessage(`{"imageDigest":"{digest}","vulnerabilities":[
		{"vuln":"RHSA-2020:1", "severity":"Moderate", "package":"a-1", "nvd_data":[{"id":"CVE-2020-1"},{"id":"CVE-2020-2"}]}]}`)}
	got, err := client(t, shaped(t, anchoretest.V1, s, digest).URL+"/v1").Scan(t.Context(), backendtest.Image(0))
	if err != nil {
		t.Fatal(err)
	}
	// An exception for one of its CVEs must not cover the whole advisory.
	want := []report.Vulnerability{{ID: "RHSA-2020:1", Package: "a-1", Severity: report.SeverityMedium}}
	if !reflect.DeepEqual(got.Vulnerabilities, want) {
		t.Errorf("findings are %+v, want %+v", got.Vulnerabilities, want)
	}
}

func TestAVerdictOutlivesItsFindings(t *testing.T) {
	for _, file := range []string{"vulnerabilities-404", "vulnerabilities-500", "vulnerabilities-200-no-list", "vulnerabilities-200-other-image", "vulnerabilities-200-odd-severity", "vulnerabilities-200-no-package"} {
		var log bytes.Buffer
		srv := shaped(t, anchoretest.V1, readShape(t, "testdata/v1/"+file+".json"), backendtest.Image(0).Digest)
		c := client(t, srv.URL+"/v1", func(o *anchore.Options) { o.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
		got, err := c.Scan(t.Context(), backendtest.Image(0))
		if err != nil || got.Judgement != report.JudgementPass || got.Vulnerabilities != nil {
			t.Errorf("%s: %+v, %v", file, got, err)
		}
		if !strings.Contains(log.String(), backendtest.Image(0).Digest) || !strings.Contains(log.String(), "WARN") {
			t.Errorf("%s: log is %s", file, log.String())
		}
	}
	srv := server(t, anchoretest.Options{API: anchoretest.V1})
	c := client(t, srv.URL+"/v1", func(o *anchore.Options) { o.Findings = anchore.FindingsOff })
	if _, err := c.Scan(t.Context(), backendtest.Image(0)); err != nil {
		t.Error(err)
	}
	for _, a := range srv.Asked() {
		if strings.HasSuffix(a.Path, "/vuln/all") {
			t.Error("findings were asked for")
		}
	}
}

func TestAMovedTagIsNotJudged(t *testing.T) {
	other := backendtest.Image(1).Digest
	for _, api := range []anchoretest.API{anchoretest.V1, anchoretest.V2} {
		srv := server(t, anchoretest.Options{API: api, Images: func(string) anchoretest.Image { return anchoretest.Image{Moved: other} }})
		c := client(t, srv.URL+string(api), func(o *anchore.Options) { o.Submit = anchore.SubmitTag })
		got, err := c.Scan(t.Context(), backendtest.Image(0))
		wantFailure(t, got, err, report.ReasonInternal, "the tag has moved")
		c = client(t, srv.URL+string(api))
		got, err = c.Scan(t.Context(), backendtest.Image(0))
		wantFailure(t, got, err, report.ReasonInternal, "it is about image")
	}
}

func TestNoPolicy(t *testing.T) {
	srv := server(t, anchoretest.Options{API: anchoretest.V1, NoPolicy: true})
	got, err := client(t, srv.URL+"/v1").Scan(t.Context(), backendtest.Image(0))
	wantFailure(t, got, err, report.ReasonInternal, "no active policy")
}

func TestAFailedAnalysis(t *testing.T) {
	srv := server(t, anchoretest.Options{API: anchoretest.V2, Images: func(string) anchoretest.Image {
		return anchoretest.Image{Pending: 2, Failed: true}
	}})
	got, err := client(t, srv.URL+"/v2").Scan(t.Context(), backendtest.Image(0))
	wantFailure(t, got, err, report.ReasonInternal, "analysis_failed")
}

// stumbling answers the first requests for a place with a status.
func stumbling(t *testing.T, api anchoretest.API, at string, times, status int, header http.Header) *anchoretest.Server {
	t.Helper()
	n := 0 // the client of these tests asks one thing at a time
	return server(t, anchoretest.Options{
		API:    api,
		Images: func(string) anchoretest.Image { return anchoretest.Image{Pending: 1} },
		Override: func(w http.ResponseWriter, req *http.Request, path string) bool {
			if place(req.Method, path) != at || n >= times {
				return false
			}
			n++
			if status == 0 {
				panic(http.ErrAbortHandler)
			}
			for k, v := range header {
				w.Header()[k] = v
			}
			w.WriteHeader(status)
			return true
		},
	})
}

func TestAStumblingServiceIsWaitedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		at            string
		times, status int
		reason        report.Reason // empty: the scan succeeds
	}{
		"state broken":          {"state", 4, 502, ""},
		"state cut off":         {"state", 4, 0, ""},
		"state broken for good": {"state", 5, 502, report.ReasonUnavailable},
		"state unknown":         {"state", 4, 404, ""},
		"state lost":            {"state", 5, 404, report.ReasonUnavailable},
		"verdict late":          {"check", 4, 404, ""},
		"verdict never":         {"check", 5, 404, report.ReasonInternal},
		"verdict broken":        {"check", 4, 503, ""},
		"verdict refused":       {"check", 1, 403, report.ReasonUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			srv := stumbling(t, anchoretest.V1, tc.at, tc.times, tc.status, nil)
			got, err := client(t, srv.URL+"/v1").Scan(t.Context(), backendtest.Image(0))
			if tc.reason != "" {
				wantFailure(t, got, err, tc.reason, "")
				return
			}
			if err != nil || got.Judgement != report.JudgementPass {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestABusyServiceIsLeftAlone(t *testing.T) {
	srv := stumbling(t, anchoretest.V1, "state", 1, 429, http.Header{"Retry-After": {"60"}})
	c := client(t, srv.URL+"/v1")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // as long as a scan may take
	defer cancel()
	got, err := c.Scan(ctx, backendtest.Image(0))
	if f := failureOf(t, got, err, report.ReasonUnavailable, "busy"); f.RetryAfter != time.Minute {
		t.Errorf("retry after %s", f.RetryAfter)
	}
	asked := len(srv.Asked())
	got, err = c.Scan(ctx, backendtest.Image(1))
	if f := failureOf(t, got, err, report.ReasonUnavailable, "left alone"); f.RetryAfter <= 0 || f.RetryAfter > time.Minute {
		t.Errorf("retry after %s", f.RetryAfter)
	}
	if n := len(srv.Asked()); n != asked {
		t.Errorf("%d requests came during the pause", n-asked)
	}
	if err := c.Ready(ctx); err != nil {
		t.Errorf("readiness waits for the pause: %v", err)
	}
}

func TestARetryAfterIsSatOut(t *testing.T) {
	srv := stumbling(t, anchoretest.V2, "state", 1, 503, http.Header{"Retry-After": {"1"}})
	if _, err := client(t, srv.URL+"/v2").Scan(t.Context(), backendtest.Image(0)); err != nil {
		t.Error(err)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	srv := server(t, anchoretest.Options{API: anchoretest.V1})
	c := client(t, srv.URL+"/v1", func(o *anchore.Options) { o.MaxReportBytes = 200 })
	got, err := c.Scan(t.Context(), backendtest.Image(0))
	wantFailure(t, got, err, report.ReasonTooLarge, "200 bytes")
}
