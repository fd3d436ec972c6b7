package attached_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/imagegate/imagegate/provider/backend/attached"
	"github.com/imagegate/imagegate/provider/backend/attached/attachedtest"
	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/registry/transport/transporttest"
)

// vulns is a predicate with the findings' identifiers, ended at a time.
func vulns(at time.Time, ids ...string) map[string]any {
	result := []any{}
	for _, id := range ids {
		result = append(result, map[string]any{"id": id, "severity": []any{map[string]any{"method": "nvd", "score": "high"}}})
	}
	return map[string]any{
		"scanner": map[string]any{
			"uri": "pkg:github/anchore/grype", "version": "0.120.1",
			"db": map[string]any{"lastUpdate": at.Add(-time.Hour)}, "result": result,
		},
		"metadata": map[string]any{"scanFinishedOn": at},
	}
}

// grype is cosign's record of Grype's report with the findings' identifiers,
// made at a time.
func grype(at time.Time, ids ...string) map[string]any {
	matches := []any{}
	for _, id := range ids {
		matches = append(matches, map[string]any{
			"vulnerability": map[string]any{"id": id, "severity": "High"},
			"artifact":      map[string]any{"name": "zlib1g", "version": "1.2"},
		})
	}
	return map[string]any{
		"scanner": map[string]any{"result": map[string]any{
			"matches": matches,
			"distro":  map[string]any{"name": "debian", "version": "12"},
			"descriptor": map[string]any{
				"name": "grype", "version": "0.120.1", "timestamp": at,
				"db": map[string]any{"status": map[string]any{"built": at.Add(-time.Hour), "valid": true}},
			},
		}},
		"metadata": map[string]any{"scanFinishedOn": at},
	}
}

// report is a statement about the image, ended some time ago.
func (w *world) report(ago time.Duration, ids ...string) []byte {
	w.t.Helper()
	return attachedtest.Statement(w.t, predicate.CosignVuln, grype(now().Add(-ago), ids...), w.image.Digest)
}

func (w *world) find() *attached.Found {
	w.t.Helper()
	found, err := w.finder().Find(w.t.Context(), w.image)
	if err != nil {
		w.t.Fatalf("%v\n%s", err, w.log)
	}
	return found
}

func (w *world) expect(found *attached.Found, id string, counts map[string]int) {
	w.t.Helper()
	got := ""
	if found.Scan != nil {
		got = "clean"
		for _, v := range found.Scan.Vulnerabilities {
			got = v.ID
		}
	}
	if got != id {
		w.t.Errorf("found %q, want %q\n%s", got, id, w.log)
	}
	if c := w.counts(); !maps.Equal(c, counts) {
		w.t.Errorf("counts %v, want %v\n%s", c, counts, w.log)
	}
}

func both(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("referrers", func(t *testing.T) { test(t, newWorld(t, true)) })
	t.Run("fallback tag", func(t *testing.T) { test(t, newWorld(t, false)) })
}

func TestASignedReportIsFound(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.bundle(w.report(time.Hour, "CVE-2021-38561"))
		found := w.find()
		w.expect(found, "CVE-2021-38561", map[string]int{"used": 1, "found": 1})
		if s := found.Scan; s.Scanner != "attached: Grype 0.120.1" || !s.ScannedAt.Equal(now().Add(-time.Hour)) ||
			!s.DatabaseBuiltAt.Equal(now().Add(-2*time.Hour)) || !bytes.Contains(s.Inner, []byte(`"scanFinishedOn"`)) {
			t.Errorf("scan is %+v", s)
		}
	})
}

func TestAnImageWithoutAttachments(t *testing.T) {
	both(t, func(_ *testing.T, w *world) { w.expect(w.find(), "", map[string]int{"none": 1}) })
}

func TestCosignsTag(t *testing.T) {
	w := newWorld(t, true)
	img := artifact(t, string(types.OCIConfigJSON), attachedtest.EnvelopeType,
		attachedtest.NewSigner(t).SignedEnvelope(t, w.report(0, "CVE-other")), w.signer.SignedEnvelope(t, w.report(time.Hour, "CVE-1")))
	if err := remote.Write(w.repo.Tag(strings.Replace(w.image.Digest, ":", "-", 1)+".att"), img); err != nil {
		t.Fatal(err)
	}
	w.expect(w.find(), "CVE-1", map[string]int{"used": 1, "bad_signature": 1, "found": 1})
	w.options.SkipTags, w.options.Registerer = true, nil
	if found := w.find(); found.Scan != nil {
		t.Errorf("found %+v although tags are left out", found.Scan)
	}
}

func TestWhatDoesNotCount(t *testing.T) {
	const b, e = attachedtest.BundleType, attachedtest.EnvelopeType
	for name, c := range map[string]struct {
		attach  func(w *world)
		outcome string
	}{
		"copied from another image": {func(w *world) {
			other := w.pushImage()
			w.bundle(attachedtest.Statement(w.t, predicate.VulnsV02, vulns(now()), other.Digest.String()))
		}, "wrong_subject"},
		"subject by another algorithm": {func(w *world) {
			s := w.report(0)
			w.bundle(bytes.Replace(s, []byte(`"sha256"`), []byte(`"sha512"`), 1))
		}, "wrong_subject"},
		"no subject": {func(w *world) {
			w.bundle(attachedtest.Statement(w.t, predicate.VulnsV02, vulns(now())))
		}, "malformed"},
		"signed over another payload": {func(w *world) {
			sig := w.signer.Sign(w.t, attachedtest.StatementType, w.report(0, "CVE-1"))
			w.attach(b, b, attachedtest.Bundle(w.t, attachedtest.StatementType, w.report(0), sig))
		}, "bad_signature"},
		"key not configured": {func(w *world) {
			w.attach(b, b, attachedtest.NewSigner(w.t).SignedBundle(w.t, w.report(0)))
		}, "bad_signature"},
		"no signature": {func(w *world) {
			w.attach(e, e, attachedtest.Envelope(w.t, attachedtest.StatementType, w.report(0)))
		}, "unsigned"},
		"bare statement":                       {func(w *world) { w.attach("application/vnd.in-toto+json", "application/vnd.in-toto+json", w.report(0)) }, "unsigned"},
		"bare SARIF":                           {func(w *world) { w.attach("application/sarif+json", "application/sarif+json", []byte(`{}`)) }, "unsigned"},
		"bare SARIF, type lies":                {func(w *world) { w.attach(b, "application/sarif+json", []byte(`{}`)) }, "unsigned"},
		"bare statement in an envelope's type": {func(w *world) { w.attach(e, e, w.report(0)) }, "unsigned"},
		"payload type wrong": {func(w *world) {
			sig := w.signer.Sign(w.t, "text/plain", w.report(0))
			w.attach(b, b, attachedtest.Bundle(w.t, "text/plain", w.report(0), sig))
		}, "unsupported"},
		"two signatures in a bundle": {func(w *world) {
			sig := w.signer.Sign(w.t, attachedtest.StatementType, w.report(0))
			w.attach(b, b, attachedtest.Bundle(w.t, attachedtest.StatementType, w.report(0), sig, sig))
		}, "malformed"},
		"chart by the type of a bundle": {func(w *world) { w.attach(b, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", []byte("chart")) }, "unsupported"},
		"not JSON":                      {func(w *world) { w.attach(b, b, []byte("\x00\xff{")) }, "malformed"},
		"predicate of another kind": {func(w *world) {
			w.bundle(attachedtest.Statement(w.t, "https://slsa.dev/provenance/v1", vulns(now()), w.image.Digest))
		}, "unsupported"},
		"CycloneDX": {func(w *world) {
			w.bundle(attachedtest.Statement(w.t, "https://cyclonedx.org/bom", map[string]any{"bomFormat": "CycloneDX", "vulnerabilities": []any{}}, w.image.Digest))
		}, "unsupported"},
		"cosign record of an unknown scanner": {func(w *world) {
			w.bundle(attachedtest.Statement(w.t, predicate.CosignVuln, vulns(now()), w.image.Digest))
		}, "unsupported"},
		"no result": {func(w *world) {
			w.bundle(bytes.Replace(w.report(0), []byte(`"matches":[]`), []byte(`"matches":null`), 1))
		}, "malformed"},
		"old":         {func(w *world) { w.bundle(w.report(25 * time.Hour)) }, "stale"},
		"from future": {func(w *world) { w.bundle(w.report(-time.Hour)) }, "malformed"},
		"huge": {func(w *world) {
			w.options.MaxBytes = 4 << 10
			w.bundle(w.report(0, strings.Repeat("CVE", 4<<10)))
		}, "too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			c.attach(w)
			w.expect(w.find(), "", map[string]int{c.outcome: 1, "none": 1})
			// It hides no good report.
			w2 := newWorld(t, false)
			c.attach(w2)
			w2.bundle(w2.report(time.Minute, "CVE-good"))
			if w2.options.MaxBytes != 0 {
				return
			}
			w2.expect(w2.find(), "CVE-good", map[string]int{c.outcome: 1, "used": 1, "found": 1})
		})
	}
}

func TestASizeThatLies(t *testing.T) {
	w := newWorld(t, true)
	w.options.MaxBytes = 4 << 10
	w.bundle(w.report(0))
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/blobs/") {
			_, _ = rw.Write(bytes.Repeat([]byte("{"), 64<<10))
			return
		}
		w.proxy(rw, req)
	})
	w.expect(w.find(), "", map[string]int{"too_large": 1, "none": 1})
}

func TestAnIndexIsNoReport(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		inner := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
			Add: artifact(t, attachedtest.BundleType, attachedtest.BundleType, w.signer.SignedBundle(t, w.report(0))),
		})
		index, ok := mutate.Subject(mutate.IndexMediaType(inner, types.OCIImageIndex), w.desc).(v1.ImageIndex)
		if !ok {
			t.Fatal("no index")
		}
		digest, err := index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.WriteIndex(w.repo.Digest(digest.String()), index); err != nil {
			t.Fatal(err)
		}
		w.expect(w.find(), "", map[string]int{"unsupported": 1, "none": 1})
	})
}

func TestAManifestThatIsAnIndexAfterAll(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(0))
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/manifests/sha256:") {
			rec := httptest.NewRecorder()
			w.proxy(rec, req)
			rw.Header().Set("Content-Type", string(types.OCIImageIndex))
			_, _ = rw.Write(rec.Body.Bytes())
			return
		}
		w.proxy(rw, req)
	})
	w.expect(w.find(), "", map[string]int{"malformed": 1, "none": 1})
}

func TestTheNewestReportWins(t *testing.T) {
	both(t, func(_ *testing.T, w *world) {
		w.bundle(w.report(3*time.Hour, "CVE-3h"))
		w.bundle(w.report(1*time.Hour, "CVE-1h"))
		w.bundle(w.report(2*time.Hour, "CVE-2h"))
		w.expect(w.find(), "CVE-1h", map[string]int{"used": 1, "stale": 2, "found": 1})
	})
}

func TestTiesAreDecidedByTheDigest(t *testing.T) {
	w := newWorld(t, true)
	for i := range 4 {
		w.bundle(w.report(time.Hour, fmt.Sprintf("CVE-%d", i)))
	}
	first := w.find().Scan.Vulnerabilities[0].ID
	w.options.Registerer = nil
	for range 8 {
		if again := w.find().Scan.Vulnerabilities[0].ID; again != first {
			t.Fatalf("first %s, then %s", first, again)
		}
	}
}

func TestNeedFixes(t *testing.T) {
	w := newWorld(t, true)
	w.options.NeedFixes, w.options.Unstated = true, true
	w.bundle(attachedtest.Statement(t, predicate.VulnsV02, vulns(now().Add(-time.Hour), "CVE-1"), w.image.Digest))
	w.expect(w.find(), "", map[string]int{"unsupported": 1, "none": 1})
	w.bundle(attachedtest.Statement(t, predicate.VulnsV02, vulns(now().Add(-2*time.Hour)), w.image.Digest))
	w.options.Registerer = nil
	if found := w.find(); found.Scan != nil {
		t.Errorf("a report from before a finding counts: %+v", found.Scan)
	}
	w.bundle(attachedtest.Statement(t, predicate.VulnsV02, vulns(now().Add(-time.Minute)), w.image.Digest))
	if found := w.find(); found.Scan == nil || len(found.Scan.Vulnerabilities) != 0 {
		t.Errorf("found %+v, want the clean report made after it", found.Scan)
	}
}

// A newer report of older data does not count, and overrules one from before it.
func TestANewerReportOfOldDataOverrulesAnOlderOne(t *testing.T) {
	w := newWorld(t, true)
	w.options.MaxDatabaseAge = 12 * time.Hour
	newer := grype(now().Add(-time.Hour), "CVE-1")
	result := newer["scanner"].(map[string]any)["result"].(map[string]any)
	result["descriptor"].(map[string]any)["db"] = map[string]any{"built": now().Add(-48 * time.Hour)}
	w.bundle(attachedtest.Statement(t, predicate.CosignVuln, newer, w.image.Digest))
	older := grype(now().Add(-2 * time.Hour))
	result = older["scanner"].(map[string]any)["result"].(map[string]any)
	result["descriptor"].(map[string]any)["db"] = map[string]any{"built": now().Add(-3 * time.Hour)}
	w.bundle(attachedtest.Statement(t, predicate.CosignVuln, older, w.image.Digest))
	if found := w.find(); found.Scan != nil {
		t.Errorf("found %+v", found.Scan)
	}
}

// Whoever may push must not hide a report behind others.
func TestMoreThanTheLimitFailsTheLookUp(t *testing.T) {
	for name, attach := range map[string]func(w *world){
		"referrers": func(w *world) {
			for i := range 4 {
				w.bundle(w.report(time.Duration(i)*time.Minute, "CVE-1"))
			}
		},
		"blobs of one referrer": func(w *world) {
			var blobs [][]byte
			for i := range 4 {
				blobs = append(blobs, w.signer.SignedBundle(t, w.report(time.Duration(i)*time.Minute, "CVE-1")))
			}
			w.attach(attachedtest.BundleType, attachedtest.BundleType, blobs...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.options.MaxReferrers = 3
			attach(w)
			var blobs atomic.Int32
			w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				if strings.Contains(req.URL.Path, "/blobs/") {
					blobs.Add(1)
				}
				w.proxy(rw, req)
			})
			_, err := w.finder().Find(t.Context(), w.image)
			if err == nil || !strings.Contains(err.Error(), "4 attachments or more; 3 is the limit") || blobs.Load() != 0 {
				t.Errorf("error %v after %d blobs", err, blobs.Load())
			}
			w.options.MaxReferrers, w.options.Registerer = 4, nil
			if found := w.find(); found.Scan == nil {
				t.Error("nothing found within the limit")
			}
		})
	}
}

func TestVEXDocuments(t *testing.T) {
	w := newWorld(t, true)
	doc := map[string]any{"@context": "https://openvex.dev/ns/v0.2.0", "statements": []any{}}
	w.bundle(attachedtest.Statement(t, "https://openvex.dev/ns/v0.2.0", doc, w.image.Digest))
	w.bundle(attachedtest.Statement(t, "https://openvex.dev/ns", map[string]any{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "2"}, w.image.Digest))
	w.bundle(attachedtest.Statement(t, "https://openvex.dev/ns", doc, w.pushImage().Digest.String()))
	w.attach(attachedtest.BundleType, attachedtest.BundleType, attachedtest.NewSigner(t).SignedBundle(t,
		attachedtest.Statement(t, "https://openvex.dev/ns", doc, w.image.Digest)))
	docs, err := w.finder().VEX(t.Context(), w.image)
	if err != nil || len(docs) != 2 {
		t.Fatalf("%d documents, %v, want 2\n%s", len(docs), err, w.log)
	}
	if !slices.IsSortedFunc(docs, func(a, b attached.Document) int { return strings.Compare(a.Attachment, b.Attachment) }) {
		t.Error("not in the order of their digests")
	}
	if !bytes.Contains(docs[0].Raw, []byte(`"https://openvex.dev/ns/v0.2.0"`)) {
		t.Errorf("document is %s", docs[0].Raw)
	}
	w.expect(&attached.Found{}, "", map[string]int{"used": 2, "wrong_subject": 1, "bad_signature": 1, "none": 1})
}

// Such a document may be the one that overrules the others.
func TestAVEXDocumentThatCannotBeUsedFailsTheLookUp(t *testing.T) {
	large := map[string]any{"x": strings.Repeat("x", 1<<20)}
	for name, c := range map[string]struct {
		kind     string
		document map[string]any
		outcome  string
	}{
		"too large":            {"https://openvex.dev/ns", large, "too_large"},
		"CycloneDX in name":    {"https://cyclonedx.org/vex", map[string]any{"bomFormat": "other"}, "malformed"},
		"CycloneDX, malformed": {"https://cyclonedx.org/bom", map[string]any{"bomFormat": 1}, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.bundle(w.report(time.Hour, "CVE-1"))
			// Of somebody else, or about something else, it is nobody's business.
			w.attach(attachedtest.BundleType, attachedtest.BundleType,
				attachedtest.NewSigner(t).SignedBundle(t, attachedtest.Statement(t, c.kind, c.document, w.image.Digest)))
			w.bundle(attachedtest.Statement(t, c.kind, c.document, w.pushImage().Digest.String()))
			w.expect(w.find(), "CVE-1", map[string]int{"used": 1, "bad_signature": 1, "wrong_subject": 1, "found": 1})

			w.bundle(attachedtest.Statement(t, c.kind, c.document, w.image.Digest))
			w.metrics = prometheus.NewRegistry()
			w.options.Registerer = w.metrics
			if found, err := w.finder().Find(t.Context(), w.image); err == nil || !strings.Contains(err.Error(), "cannot be used") {
				t.Fatalf("found %+v, %v", found, err)
			}
			if n := w.counts(); n[c.outcome] != 1 || n["failed"] != 1 {
				t.Errorf("counts %v", n)
			}
		})
	}
}

func TestAListInPagesFailsTheLookUp(t *testing.T) {
	for link, pages := range map[string]bool{
		`</v2/team/app/referrers/x?n=2>; rel="next"`:                    true,
		`</v2/team/app/referrers/x?n=2>;title="a, b"; REL = next`:       true,
		`<https://a.example>; rel="first", </v2/x>; rel="up NEXT last"`: true,
		`<https://a.example/next>; rel="prev"`:                          false,
		"":                                                              false,
	} {
		w := newWorld(t, true)
		w.bundle(w.report(time.Hour, "CVE-1"))
		w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.URL.Path, "/referrers/") {
				rw.Header().Set("Link", link)
			}
			w.proxy(rw, req)
		})
		if _, err := w.finder().Find(t.Context(), w.image); (err != nil) != pages {
			t.Errorf("%s: error %v", link, err)
		}
	}
}

func TestAListWhoseTypeHasParameters(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(time.Hour, "CVE-1"))
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if !strings.Contains(req.URL.Path, "/referrers/") {
			w.proxy(rw, req)
			return
		}
		rec := httptest.NewRecorder()
		w.proxy(rec, req)
		rw.Header().Set("Content-Type", "Application/vnd.oci.image.index.v1+json; charset=utf-8")
		_, _ = rw.Write(rec.Body.Bytes())
	})
	w.expect(w.find(), "CVE-1", map[string]int{"used": 1, "found": 1})
}

func TestCycloneDXAnalysesAreVEX(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(attachedtest.Statement(t, "https://cyclonedx.org/bom", map[string]any{
		"bomFormat": "CycloneDX", "metadata": map[string]any{"timestamp": now()},
		"vulnerabilities": []any{map[string]any{
			"id": "CVE-1", "analysis": map[string]any{"state": "not_affected"}, "affects": []any{map[string]any{"ref": "pkg:npm/a@1"}},
		}},
	}, w.image.Digest))
	docs, err := w.finder().VEX(t.Context(), w.image)
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d documents, %v, want 1\n%s", len(docs), err, w.log)
	}
	if hex := strings.TrimPrefix(w.image.Digest, "sha256:"); !bytes.Contains(docs[0].Raw, []byte(`"sha-256":"`+hex+`"`)) {
		t.Errorf("%s is not about the image", docs[0].Raw)
	}
}

func TestFailedLookUps(t *testing.T) {
	for name, h := range map[string]func(w *world, rw http.ResponseWriter, req *http.Request) bool{
		"list answers 500": func(_ *world, rw http.ResponseWriter, req *http.Request) bool {
			return failOn(rw, req, "/referrers/", http.StatusInternalServerError)
		},
		"list answers 429": func(_ *world, rw http.ResponseWriter, req *http.Request) bool {
			return failOn(rw, req, "/referrers/", http.StatusTooManyRequests)
		},
		"list refused": func(_ *world, rw http.ResponseWriter, req *http.Request) bool {
			return failOn(rw, req, "/referrers/", http.StatusForbidden)
		},
		"manifest answers 503": func(_ *world, rw http.ResponseWriter, req *http.Request) bool {
			return failOn(rw, req, "/manifests/sha256:", http.StatusServiceUnavailable)
		},
		"tag answers 500": func(_ *world, rw http.ResponseWriter, req *http.Request) bool {
			return failOn(rw, req, ".att", http.StatusInternalServerError)
		},
		"blob answers 502": func(_ *world, rw http.ResponseWriter, req *http.Request) bool {
			return failOn(rw, req, "/blobs/", http.StatusBadGateway)
		},
		"blob is another": func(_ *world, rw http.ResponseWriter, req *http.Request) bool {
			if strings.Contains(req.URL.Path, "/blobs/") {
				_, _ = rw.Write([]byte("{}"))
				return true
			}
			return false
		},
		"huge list": func(_ *world, rw http.ResponseWriter, req *http.Request) bool {
			if strings.Contains(req.URL.Path, "/referrers/") {
				rw.Header().Set("Content-Type", string(types.OCIImageIndex))
				_, _ = rw.Write(bytes.Repeat([]byte(" "), 5<<20))
				return true
			}
			return false
		},
		"elsewhere over plain HTTP": func(_ *world, rw http.ResponseWriter, req *http.Request) bool {
			if strings.Contains(req.URL.Path, "/blobs/") {
				http.Redirect(rw, req, "http://elsewhere.example/blob", http.StatusTemporaryRedirect)
				return true
			}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, true)
			w.bundle(w.report(time.Hour))
			w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
				if !h(w, rw, req) {
					w.proxy(rw, req)
				}
			})
			found, err := w.finder().Find(t.Context(), w.image)
			if err == nil {
				t.Fatalf("found %+v", found)
			}
			if c := w.counts(); c["failed"] != 1 || c["used"] != 0 {
				t.Errorf("counts %v", c)
			}
		})
	}
}

func failOn(rw http.ResponseWriter, req *http.Request, part string, status int) bool {
	if strings.Contains(req.URL.Path, part) {
		rw.WriteHeader(status)
		return true
	}
	return false
}

func TestAListedReferrerThatIsGone(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(time.Hour))
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		if !failOn(rw, req, "/manifests/sha256:", http.StatusNotFound) {
			w.proxy(rw, req)
		}
	})
	w.expect(w.find(), "", map[string]int{"malformed": 1, "none": 1})
}

func TestASilentRegistryCostsTheTimeoutOnly(t *testing.T) {
	w := newWorld(t, true)
	w.options.Timeout = 50 * time.Millisecond
	w.handler = http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	if found, err := w.finder().Find(t.Context(), w.image); err == nil {
		t.Fatalf("found %+v", found)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.options.Registerer, w.options.Timeout = nil, time.Hour
	if found, err := w.finder().Find(ctx, w.image); err == nil {
		t.Fatalf("found %+v", found)
	}
}

func TestPlainHTTPOnlyWhenTheRegistrySaysSo(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(time.Hour))
	w.image.Registry = strings.Replace(w.image.Registry, "http://", "https://", 1)
	if found, err := w.finder().Find(t.Context(), w.image); err == nil {
		t.Fatalf("found %+v", found)
	}
	if w.log.Len() == 0 {
		t.Error("nothing is logged")
	}
}

func TestTLSWithAnAuthorityOfItsOwn(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(time.Hour, "CVE-1"))
	front := httptest.NewTLSServer(http.HandlerFunc(w.proxy))
	defer front.Close()
	w.image.Registry = front.URL
	if found, err := w.finder().Find(t.Context(), w.image); err == nil {
		t.Fatalf("found %+v by a certificate that nobody trusts", found)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	hosts, err := transport.NewHosts(map[string]string{strings.TrimPrefix(front.URL, "https://"): ca}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w.options.Hosts = hosts
	w.options.Registerer = nil
	if found := w.find(); found.Scan == nil {
		t.Errorf("nothing found\n%s", w.log)
	}
}

func TestKeysInFiles(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(time.Hour, "CVE-1"))
	file := filepath.Join(t.TempDir(), "keys.pem")
	if err := os.WriteFile(file, append(attachedtest.NewSigner(t).PEM(t), w.signer.PEM(t)...), 0o600); err != nil {
		t.Fatal(err)
	}
	w.options.Keys, w.options.KeyFiles = nil, []string{file}
	w.expect(w.find(), "CVE-1", map[string]int{"used": 1, "found": 1})
}

func TestAuthorizationIsSent(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:pass:word"))
	for _, header := range []string{basic, "Bearer token", ""} {
		w := newWorld(t, true)
		w.bundle(w.report(time.Hour, "CVE-1"))
		w.image.Authorization = header
		w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
			if header == "" && req.Header.Get("Authorization") != "" {
				t.Errorf("authorization %q is sent for an anonymous image", req.Header.Get("Authorization"))
			}
			if header != "" && req.Header.Get("Authorization") != header {
				scheme, _, _ := strings.Cut(header, " ")
				challenge := scheme + ` realm="` + w.server.URL + `/token",service="x"`
				rw.Header().Set("WWW-Authenticate", challenge)
				rw.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.proxy(rw, req)
		})
		w.expect(w.find(), "CVE-1", map[string]int{"used": 1, "found": 1})
	}
	w := newWorld(t, true)
	w.image.Authorization = "Basic %%secret%%"
	if _, err := w.finder().Find(t.Context(), w.image); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	key := attachedtest.NewSigner(t).PEM(t)
	var many [][]byte
	for range attached.MaxKeys + 1 {
		many = append(many, attachedtest.NewSigner(t).PEM(t))
	}
	for want, o := range map[string]attached.Options{
		"no key is configured":                  {},
		"Keys[0]":                               {Keys: [][]byte{[]byte("x")}},
		"KeyFiles, Keys): stat /does/not/exist": {KeyFiles: []string{"/does/not/exist"}},
		"more than 16":                          {Keys: many},
		"cannot be negative":                    {Keys: [][]byte{key}, MaxAge: -1},
	} {
		if _, err := attached.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

// TestATokenServerWithAPrivateAddress is asked when it is listed.
func TestATokenServerWithAPrivateAddress(t *testing.T) {
	w := newWorld(t, true)
	w.bundle(w.report(time.Hour, "CVE-1"))
	door := transporttest.NewDoor(t, http.HandlerFunc(w.proxy))
	w.image.Registry = door.Registry.URL
	w.image.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(transporttest.User+":"+transporttest.Password))
	w.options.Hosts = door.Hosts(t)
	_, err := w.finder().Find(t.Context(), w.image)
	if err == nil || !strings.Contains(err.Error(), door.TokenHost()) || !strings.Contains(err.Error(), "registry.tokenHosts") {
		t.Errorf("not listed: %v", err)
	}
	if n := door.Asked.Load(); n != 0 {
		t.Errorf("a token server that is not listed was asked %d times", n)
	}
	w.options.Hosts, w.options.Registerer = door.Hosts(t, door.TokenHost()), nil
	if found := w.find(); found.Scan == nil || door.Asked.Load() == 0 {
		t.Errorf("listed: nothing found, asked %d times\n%s", door.Asked.Load(), w.log)
	}
}
