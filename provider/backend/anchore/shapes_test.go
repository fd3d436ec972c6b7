package anchore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend/anchore"
	"github.com/imagegate/imagegate/provider/backend/anchore/anchoretest"
	"github.com/imagegate/imagegate/provider/backend/backendtest"
	"github.com/imagegate/imagegate/provider/report"
)

// shape is a file of testdata: one answer of a service, and where its shape is
// documented. {digest} stands for the digest of the image.
type shape struct {
	Source string            `json:"source"`
	At     string            `json:"at"` // submit, state, check, vulnerabilities or feeds
	Status int               `json:"status"`
	Header map[string]string `json:"header"`
	Body   json.RawMessage   `json:"body"`
	Text   string            `json:"text"`
}

// want is what a scan makes of a shape: a judgement, or a failure.
type want struct {
	judgement report.Judgement
	reason    report.Reason
	words     string
	after     time.Duration
}

const (
	notState   = "is not the state of the image"
	notVerdict = "is not the policy evaluation"
	notList    = "is not a list of vulnerabilities"
)

func pass() want                           { return want{judgement: report.JudgementPass} }
func fail() want                           { return want{judgement: report.JudgementFail} }
func fails(r report.Reason, w string) want { return want{reason: r, words: w} }
func internal(w string) want               { return fails(report.ReasonInternal, w) }
func unavailable(w string) want            { return fails(report.ReasonUnavailable, w) }
func incomplete(w string) want             { return fails(report.ReasonIncomplete, w) }
func busy(w string, d time.Duration) want {
	return want{reason: report.ReasonUnavailable, words: w, after: d}
}

// wants has every file of testdata; one without an entry fails the test.
func wants() map[string]want {
	return map[string]want{
		"v1/submit-200":                            pass(),
		"v1/submit-200-failed":                     internal("analysis_failed"),
		"v1/submit-200-unknown-status":             internal(`analysis_status is "archived"`),
		"v1/submit-200-empty":                      internal(notState),
		"v1/submit-200-two":                        internal(notState),
		"v1/submit-200-other-image":                internal(notState),
		"v1/submit-400-created-at":                 internal("status 400: must supply created_at"),
		"v1/submit-400-registry-permission-denied": fails(report.ReasonUnauthorized, "registry credentials of its own"),
		"v1/submit-400-registry-image-not-found":   fails(report.ReasonNotFound, "no such image"),
		"v1/submit-400-registry-not-accessible":    unavailable("cannot reach the image's registry"),
		"v1/submit-400-registry-not-supported":     fails(report.ReasonUnsupported, "registry"),
		"v1/submit-400-osarch-mismatch":            fails(report.ReasonUnsupported, "architecture"),
		"v1/submit-400-skopeo-unknown-error":       internal("status 400: cannot fetch image digest/manifest"),
		"v1/submit-401":                            unavailable("the scanner refuses the provider's own credentials (scanner.anchore), status 401"),
		"v1/submit-403":                            unavailable("status 403; this has to be mended by whoever runs imagegate"),
		"v1/submit-500-no-digests":                 internal("too old to take images by digest (scanner.anchore.submit: tag)"),
		"v1/state-404":                             unavailable("does not know the image"),
		"v1/state-500":                             unavailable("status 500: could not fetch image"),
		"v1/check-200-go":                          pass(),
		"v1/check-200-warn":                        pass(),
		"v1/check-200-stop":                        fail(),
		"v1/check-200-other-spelling-of-tag":       pass(),
		"v1/check-200-no-detail":                   fail(),
		"v1/check-200-not-evaluated":               internal("has no verdict on it"),
		"v1/check-200-empty":                       internal(notVerdict),
		"v1/check-200-no-tags":                     internal(notVerdict),
		"v1/check-200-no-evaluations":              internal(notVerdict),
		"v1/check-200-two-evaluations":             internal(notVerdict),
		"v1/check-200-two-tags":                    internal(notVerdict),
		"v1/check-200-other-image":                 internal(notVerdict),
		"v1/check-200-contradiction":               internal(`status is "pass" although its final action is "stop"`),
		"v1/check-200-odd-status":                  internal(notVerdict),
		"v1/check-200-no-status":                   internal(notVerdict),
		"v1/check-200-no-time":                     internal(notVerdict),
		"v1/check-200-null-detail":                 internal(notVerdict),
		"v1/check-200-wrong-type":                  internal(notVerdict),
		"v1/check-200-error-object":                internal(notVerdict),
		"v1/check-404-not-analyzed":                internal("has no verdict on it"),
		"v1/check-404-no-policy":                   internal("the scanner's account has no active policy"),
		"v1/check-404-unknown-tag":                 internal("does not know the tag for this digest"),
		"v1/check-500":                             unavailable("status 500"),
		"v1/vulnerabilities-200":                   pass(),
		"v1/vulnerabilities-404":                   internal("content type (all) not available"),
		"v1/vulnerabilities-500":                   unavailable("could not fetch vulnerabilities"),
		"v1/vulnerabilities-200-no-list":           internal(notList),
		"v1/vulnerabilities-200-other-image":       internal(notList),
		"v1/vulnerabilities-200-no-name":           internal(notList),
		"v2/submit-200":                            pass(),
		"v2/submit-200-failed":                     internal("analysis_failed"),
		"v2/submit-200-list":                       internal(notState),
		"v2/submit-200-other-image":                internal(notState),
		"v2/submit-400-registry-permission-denied": fails(report.ReasonUnauthorized, "registry credentials of its own"),
		"v2/submit-400-registry-image-not-found":   fails(report.ReasonNotFound, "no such image"),
		"v2/submit-400-registry-not-accessible":    unavailable("cannot reach the image's registry"),
		"v2/submit-400-registry-not-supported":     fails(report.ReasonUnsupported, "registry"),
		"v2/submit-400-osarch-mismatch":            fails(report.ReasonUnsupported, "architecture"),
		"v2/submit-400-skopeo-unknown-error":       internal("status 400: cannot fetch image digest/manifest"),
		"v2/submit-401":                            unavailable("own credentials (scanner.anchore), status 401"),
		"v2/submit-403":                            unavailable("status 403; this has to be mended"),
		"v2/submit-409":                            internal("status 409: the image is being deleted"),
		"v2/submit-415":                            internal("status 415"),
		"v2/state-404":                             unavailable("does not know the image"),
		"v2/check-200-go":                          pass(),
		"v2/check-200-warn":                        pass(),
		"v2/check-200-stop":                        fail(),
		"v2/check-200-not-evaluated":               internal("the policy could not be evaluated: unknown gate"),
		"v2/check-200-stop-not-evaluated":          fail(),
		"v2/check-200-contradiction":               internal(notVerdict),
		"v2/check-200-empty":                       internal(notVerdict),
		"v2/check-200-no-evaluations":              internal(notVerdict),
		"v2/check-200-null-evaluation":             internal(notVerdict),
		"v2/check-200-other-image":                 internal(notVerdict),
		"v2/check-200-no-policy-id":                internal(notVerdict),
		"v2/check-200-no-time":                     internal(notVerdict),
		"v2/check-200-odd-status":                  internal(notVerdict),
		"v2/check-400":                             internal("status 400: invalid tag"),
		"v2/check-404":                             internal("has no verdict on it"),
		"v2/check-500":                             unavailable("status 500"),
		"v2/vulnerabilities-200":                   pass(),
		"v2/vulnerabilities-404":                   internal("status 404: image not found"),
		"v1/check-200-allowed-without-mapping":     pass(),
		"v1/check-200-future":                      internal("in the future"),
		"v1/check-200-inner-stop":                  internal(`although its final action is "stop"`),
		"v1/check-200-no-data":                     incomplete("no vulnerability data of the image's distribution"),
		"v1/check-200-no-mapping":                  internal("no rule of the policy is for the image"),
		"v1/check-200-pass-no-action":              internal("without saying what was judged"),
		"v1/check-200-pass-no-detail":              internal(`passes the image without saying what was judged`),
		"v1/check-200-pass-not-evaluated":          internal("the policy could not be evaluated: unknown gate"),
		"v1/check-200-vulnerable":                  incomplete("its policy came across a vulnerability, and its list has none"),
		"v1/feeds-200-future":                      internal("vulnerability data is dated 2099-01-01T00:00:00Z, which is in the future"),
		"v1/feeds-200-never-taken-in":              unavailable("not taken in any vulnerability data yet"),
		"v1/feeds-200-none":                        pass(),
		"v1/feeds-200-one-unused":                  pass(),
		"v1/vulnerabilities-200-long-name":         internal("an identifier of 2004 bytes"),
		"v1/vulnerabilities-200-no-package":        incomplete("names no package"),
		"v1/vulnerabilities-200-no-severity":       internal("names neither a severity nor a CVSS score"),
		"v1/vulnerabilities-200-null-list":         internal(notList),
		"v1/vulnerabilities-200-odd-severity":      internal(`severity "Catastrophic" is not known`),
		"v1/vulnerabilities-200-renamed-list":      internal(notList),
		"v2/check-200-allowed-without-mapping":     pass(),
		"v2/check-200-fewer-findings":              internal("counts 2 findings of the policy and lists 1"),
		"v2/check-200-future":                      internal("in the future"),
		"v2/check-200-no-data":                     incomplete("no vulnerability data of the image's distribution"),
		"v2/check-200-no-mapping":                  internal("no rule of the policy is for the image"),
		"v2/check-200-pass-no-action":              internal("without saying what was judged"),
		"v2/check-200-pass-no-detail":              internal(`passes the image without the list of what the policy found`),
		"v2/check-200-pass-null-findings":          internal("without the list of what the policy found"),
		"v2/check-200-vulnerable":                  incomplete("its policy came across a vulnerability, and its list has none"),
		"v2/feeds-200-future":                      internal("vulnerability data is dated 2099-01-01T00:00:00Z, which is in the future"),
		"v2/feeds-200-never-taken-in":              unavailable("not taken in any vulnerability data yet"),
		"v2/feeds-200-none":                        pass(),
		"v2/feeds-200-one-unused":                  pass(),
		"v2/vulnerabilities-200-long-name":         internal("an identifier of 2004 bytes"),
		"v2/vulnerabilities-200-no-name":           internal(notList),
		"v2/vulnerabilities-200-no-package":        incomplete("names no package"),
		"v2/vulnerabilities-200-no-severity":       internal("names neither a severity nor a CVSS score"),
		"v2/vulnerabilities-200-null-list":         internal(notList),
		"v2/vulnerabilities-200-odd-severity":      internal(`severity "Catastrophic" is not known`),
		"v2/vulnerabilities-200-other-image":       internal(notList),
		"v2/vulnerabilities-200-renamed-list":      internal(notList),
		"sysdig/submit-400":                        internal("status 400: cannot fetch image digest/manifest"),
		"sysdig/submit-401":                        unavailable("own credentials (scanner.anchore), status 401; this has to be mended by whoever runs imagegate, not in the Pod: Unauthorized"),
		"sysdig/submit-403":                        unavailable("Access is denied"),
		"sysdig/submit-429":                        busy("the scanner is busy: API rate limit exceeded", 30*time.Second),
		"sysdig/state-404":                         unavailable("does not know the image"),
		"sysdig/check-200-article":                 pass(),
		"gateway/submit-200-login-page":            internal(notState + ": it is not JSON: Sign in"),
		"gateway/submit-302":                       internal("redirect, which is not followed (scanner.anchore.url)"),
		"gateway/submit-400":                       internal("status 400: 400 Bad Request"),
		"gateway/submit-404":                       internal("(scanner.anchore.url)"),
		"gateway/submit-405":                       internal("405 Not Allowed"),
		"gateway/submit-407":                       internal("the HTTP proxy on the way to the scanner wants credentials"),
		"gateway/submit-413":                       internal("413 Request Entity Too Large"),
		"gateway/submit-429":                       busy("Too many requests, slow down.", 7*time.Second),
		"gateway/submit-500":                       unavailable("500 Internal Server Error"),
		"gateway/submit-502":                       unavailable("502 Bad Gateway"),
		"gateway/submit-503":                       busy("503 Service Temporarily Unavailable", 10*time.Minute),
		"gateway/submit-504":                       unavailable("504 Gateway Time-out"),
		"gateway/state-504":                        unavailable("504 Gateway Time-out"),
		"gateway/check-502":                        unavailable("502 Bad Gateway"),
		"gateway/check-200-login-page":             internal(notVerdict + ": it is not JSON: Sign in"),
	}
}

func TestShapes(t *testing.T) {
	wants := wants()
	seen := 0
	err := filepath.WalkDir("testdata", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".json") || strings.Contains(path, "fuzz") {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(path), "testdata/"), ".json")
		w, ok := wants[name]
		if !ok {
			t.Errorf("%s is not in the table", name)
			return nil
		}
		seen++
		folder, _, _ := strings.Cut(name, "/")
		for _, api := range map[string][]anchoretest.API{
			"v1": {anchoretest.V1}, "v2": {anchoretest.V2}, "sysdig": {anchoretest.Sysdig},
			"gateway": {anchoretest.V1, anchoretest.V2, anchoretest.Sysdig},
		}[folder] {
			t.Run(name+" on "+string(api), func(t *testing.T) { tryShape(t, api, readShape(t, path), w) })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen != len(wants) {
		t.Errorf("%d files of %d in the table", seen, len(wants))
	}
}

func readShape(t *testing.T, path string) shape {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s shape
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	if s.Source == "" || s.Status == 0 || s.At == "" {
		t.Fatal("source, status or at is missing")
	}
	return s
}

// answer returns the body for one image.
func (s shape) answer(digest string) []byte {
	b := []byte(s.Text)
	if s.Body != nil {
		b = s.Body
	}
	return bytes.ReplaceAll(b, []byte("{digest}"), []byte(digest))
}

// shaped starts a server that answers with the shape at its place.
func shaped(t *testing.T, api anchoretest.API, s shape, digest string) *anchoretest.Server {
	t.Helper()
	pending := 0
	if s.At == "state" {
		pending = 1
	}
	return server(t, anchoretest.Options{
		API:    api,
		Images: func(string) anchoretest.Image { return anchoretest.Image{Pending: pending} },
		Override: func(w http.ResponseWriter, req *http.Request, path string) bool {
			if place(req.Method, path) != s.At {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			for k, v := range s.Header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(s.Status)
			_, _ = w.Write(s.answer(digest))
			return true
		},
	})
}

func place(method, path string) string {
	switch {
	case method == http.MethodPost && path == "/images":
		return "submit"
	case path == "/system/feeds":
		return "feeds"
	case strings.HasSuffix(path, "/check"):
		return "check"
	case strings.HasSuffix(path, "/vuln/all"):
		return "vulnerabilities"
	case strings.HasPrefix(path, "/images/"):
		return "state"
	}
	return ""
}

func tryShape(t *testing.T, api anchoretest.API, s shape, w want) {
	image := backendtest.Image(0)
	srv := shaped(t, api, s, image.Digest)
	c := client(t, srv.URL+string(api), func(o *anchore.Options) { o.Findings = anchore.FindingsRequired })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if s.At == "submit" && s.Status == http.StatusOK {
		// The state is read from the answer; what comes after needs the image.
		post(t, srv, api)
	}
	got, err := c.Scan(ctx, image)
	if w.judgement != "" {
		if err != nil {
			t.Fatal(err)
		}
		if got.Judgement != w.judgement {
			t.Errorf("judgement is %q, want %q", got.Judgement, w.judgement)
		}
		return
	}
	f := failureOf(t, got, err, w.reason, w.words)
	if f.RetryAfter != w.after {
		t.Errorf("retry after %s, want %s", f.RetryAfter, w.after)
	}
	if len(f.Message) > 600 || strings.ContainsAny(f.Message, "<>\n") {
		t.Errorf("message is not one short sentence: %q", f.Message)
	}
}

// post submits the image past an override.
func post(t *testing.T, srv *anchoretest.Server, api anchoretest.API) {
	t.Helper()
	image := backendtest.Image(0)
	name := "registry.example/team/app"
	body := map[string]any{"digest": name + "@" + image.Digest, "tag": name + ":1", "created_at": "2026-01-01T00:00:00Z"}
	if api == anchoretest.V2 {
		body = map[string]any{"source": map[string]any{"digest": map[string]string{"pull_string": name + "@" + image.Digest, "tag": name + ":1"}}}
	}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	srv.Submit(b)
}

func wantFailure(t *testing.T, scan *report.Scan, err error, reason report.Reason, words string) {
	t.Helper()
	_ = failureOf(t, scan, err, reason, words)
}

// failureOf returns the failure after a look at what it says.
func failureOf(t *testing.T, scan *report.Scan, err error, reason report.Reason, words string) *report.Failure {
	t.Helper()
	if scan != nil {
		t.Fatalf("there is a report: %+v", scan)
	}
	f, ok := errors.AsType[*report.Failure](err)
	if !ok {
		t.Fatalf("error is %T %v, want a *report.Failure", err, err)
	}
	if f.Reason != reason || !strings.Contains(f.Message, words) {
		t.Errorf("failure is %s %q (%v), want %s with %q", f.Reason, f.Message, f.Err, reason, words)
	}
	return f
}
