package wire_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"

	"github.com/imagegate/imagegate/provider/owner"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/wire"
)

func TestParseKey(t *testing.T) {
	for in, want := range map[string]wire.Key{
		"nginx":                                    {Reference: "nginx", View: report.ViewSummary},
		"localhost:5000/a/b:c?":                    {Reference: "localhost:5000/a/b:c", View: report.ViewSummary},
		"nginx?namespace=dev&view=full":            {Reference: "nginx", Namespace: "dev", View: report.ViewFull},
		"nginx?platform=linux%2Farm64/v8":          {Reference: "nginx", Platform: "linux/arm64/v8", View: report.ViewSummary},
		"nginx?original=nginx%3A1.27":              {Reference: "nginx", Original: "nginx:1.27", View: report.ViewSummary},
		"nginx?original=not+a%3Freference":         {Reference: "nginx", Original: "not a?reference", View: report.ViewSummary},
		"nginx?platform=windows%2F%2A,%2A%2Famd64": {Reference: "nginx", Platform: "windows/*,*/amd64", View: report.ViewSummary},
		"nginx?asker=audit&namespace=dev":          {Reference: "nginx", Namespace: "dev", Asker: wire.AskerAudit, View: report.ViewSummary},
		"nginx?namespace=dev&owner=apps%2Fv1/ReplicaSet/web-5c/u-1": {
			Reference: "nginx", Namespace: "dev", View: report.ViewSummary,
			Owner: owner.Reference{Kind: owner.ReplicaSet, Name: "web-5c", UID: "u-1"},
		},
		"nginx?namespace=dev&user=system%3Aserviceaccount%3Aa%3Ab&pod=web-": {
			Reference: "nginx", Namespace: "dev", View: report.ViewSummary, User: "system:serviceaccount:a:b", Pod: "web-",
		},
		"nginx?namespace=dev&owner=v1/ReplicationController/web/u": {
			Reference: "nginx", Namespace: "dev", View: report.ViewSummary,
			Owner: owner.Reference{Kind: owner.ReplicationController, Name: "web", UID: "u"},
		},
		"a/b:c?namespace=n&serviceAccount=s&pullSecret=x&pullSecret=y": {
			Reference: "a/b:c", Namespace: "n", ServiceAccount: "s", PullSecrets: []string{"x", "y"}, View: report.ViewSummary,
		},
	} {
		got, err := wire.ParseKey(in)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseKey(%q) = %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "invalid image reference",
		"UPPER/case":                         "invalid image reference",
		"a b":                                "invalid image reference",
		"nginx@sha256:short":                 "invalid image reference",
		"nginx?namespce=dev":                 `unknown parameter "namespce"`,
		"nginx?namespace=a&namespace=b":      "given 2 times",
		"nginx?original=a&original=b":        "given 2 times",
		"nginx?view=everything":              `view "everything"`,
		"nginx?platform=a/b/c/d":             "platform",
		"nginx?namespace=%zz":                "invalid parameters",
		"nginx?asker=me":                     `parameter "asker": "me" must be audit`,
		"nginx?pullSecret=x":                 "need a namespace",
		"nginx?serviceAccount=x&namespace":   "need a namespace",
		"host.example/../api/v2.0/users/x:1": "invalid image reference",
		"nginx?platform=linux":               "want os/arch",

		"nginx?user=anna":                 "user, and that a namespace",
		"nginx?namespace=n&pod=web":       "pod needs a user",
		"nginx?namespace=n&user=a&user=b": "given 2 times",

		"nginx?owner=batch/v1/Job/a/u":                                            "owner needs a namespace",
		"nginx?namespace=n&owner=":                                                `parameter "owner": owner "" is not`,
		"nginx?namespace=n&owner=apps/v1/Deployment/a/u":                          `owner kind "Deployment"`,
		"nginx?namespace=n&owner=batch/v1/Job/a%2F..%2Fb/u":                       "is not apiVersion/kind/name/uid",
		"nginx?namespace=n&owner=batch/v1/Job/a/u&owner=batch/v1/Job/b/u":         "given 2 times",
		"nginx?namespace=n&owner=batch/v1/Job/a/" + strings.Repeat("u", 65):       "owner uid",
		"nginx?namespace=n&owner=batch/v1/Job/" + strings.Repeat("a", 254) + "/u": "owner name",
	} {
		if _, err := wire.ParseKey(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseKey(%q): error %v lacks %q", in, err, want)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"nginx", "a/b:c?namespace=n&pullSecret=x", "localhost:5000/x?view=full&platform=linux/amd64", "a@b?original=a:1", "a?namespace=n&owner=batch%2Fv1%2FJob%2Fj%2Fu", "a?namespace=n&user=u&pod=p", "a?namespace=n&owner=v1/ReplicationController/r/u", "?", "#", "a?b#c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := wire.ParseKey(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(k.Reference, "?#") {
			t.Errorf("reference %q of key %q", k.Reference, s)
		}
		again, err := wire.ParseKey(k.String())
		if err != nil || !reflect.DeepEqual(again, k) {
			t.Errorf("%q -> %+v -> %q -> %+v, %v", s, k, k.String(), again, err)
		}
	})
}

func limits() wire.Limits { return wire.Limits{BodyBytes: 300, Keys: 3, KeyBytes: 20} }

func read(t *testing.T, body string) ([]string, error) {
	t.Helper()
	limited := http.MaxBytesReader(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)).Body, limits().BodyBytes)
	return wire.ReadRequest(limited, limits())
}

const head = `{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderRequest","request":{"keys":`

func TestReadRequest(t *testing.T) {
	keys, err := read(t, head+`["a","b","a"]}}`)
	if err != nil || !reflect.DeepEqual(keys, []string{"a", "b"}) {
		t.Errorf("keys %v, %v; want a and b once each", keys, err)
	}
	if keys, err := read(t, head+`[]}}`); err != nil || len(keys) != 0 {
		t.Errorf("no keys: %v, %v", keys, err)
	}
}

func TestReadRequestRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"empty":         {"", "not a ProviderRequest"},
		"no JSON":       {"hello", "not a ProviderRequest"},
		"wrong type":    {head + `[1]}}`, "not a ProviderRequest"},
		"wrong version": {strings.Replace(head, "v1beta1", "v1", 1) + `[]}}`, `"externaldata.gatekeeper.sh/v1"`},
		"wrong kind":    {strings.Replace(head, "ProviderRequest", "Pod", 1) + `[]}}`, `"Pod"`},
		"null":          {"null", `request is "" ""`},
		"two documents": {head + `[]}}{}`, "data after"},
		"too many keys": {head + `["a","b","c","d"]}}`, "4 keys, over the limit of 3"},
		"too large":     {head + `["` + strings.Repeat("x", 400) + `"]}}`, "limit of 300 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := read(t, tc.body); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v lacks %q", err, tc.want)
			}
		})
	}
}

func TestOnlyFinalReportsAnswerTheRequestedKey(t *testing.T) {
	const key = "nginx?namespace=dev"
	for _, status := range []report.Status{report.Accepted, report.Rejected, report.ScanFailed, report.NotAvailable} {
		item := wire.ReportItem(key, report.ScanReport{ImageAndTag: "nginx", Status: status})
		if cacheable := item.Key == key; cacheable != status.Final() {
			t.Errorf("%s is answered under key %q", status, item.Key)
		}
	}
}

// throughJSON is what a client sees of a response.
func throughJSON(t *testing.T, r *externaldata.ProviderResponse) *externaldata.ProviderResponse {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var out externaldata.ProviderResponse
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestReportsAreMatchedByContent(t *testing.T) {
	keys := []wire.Key{{Reference: "a", Namespace: "n"}, {Reference: "b"}, {Reference: "c"}, {Reference: "d"}}
	resp := throughJSON(t, wire.NewResponse([]externaldata.Item{
		wire.ErrorItem("c", errors.New("bad key")),
		wire.ReportItem("b", report.ScanReport{ImageAndTag: "b", Status: report.NotAvailable}),
		wire.ReportItem("a?namespace=n", report.ScanReport{ImageAndTag: "a", Status: report.Accepted}),
	}))
	got, err := wire.Reports(keys, resp)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []report.Status{report.Accepted, report.NotAvailable, report.ScanFailed, report.NotAvailable} {
		if got[i].Status != want || got[i].ImageAndTag != keys[i].Reference {
			t.Errorf("%s is %s (%s), want %s", keys[i].Reference, got[i].Status, got[i].ImageAndTag, want)
		}
	}
}

// What is written for one image may differ from container to container.
func TestReportsWithOriginalsAreMatchedByImageAndOriginal(t *testing.T) {
	image := "shop@" + digest
	got, err := wire.Reports([]wire.Key{
		{Reference: image, Original: "shop:latest"},
		{Reference: image, Original: "shop:1"},
		{Reference: image, Original: "shop:forged"},
		{Reference: image},
	}, wire.NewResponse([]externaldata.Item{
		wire.ReportItem("1", report.ScanReport{ImageAndTag: "shop:latest", Image: image, Status: report.Accepted}),
		wire.ReportItem("2", report.ScanReport{ImageAndTag: "shop:1", Image: image, Status: report.Accepted}),
	}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"shop:latest", "shop:1", image, image} {
		if got[i].ImageAndTag != want || got[i].Status != report.Accepted || got[i].Asked() != image {
			t.Errorf("report %d: %+v, want one of %s", i, got[i], want)
		}
	}
}

func TestMalformedAnswersAreErrors(t *testing.T) {
	keys := []wire.Key{{Reference: "a"}}
	for name, resp := range map[string]*externaldata.ProviderResponse{
		"system error":   wire.SystemError("out of order"),
		"no report":      wire.NewResponse([]externaldata.Item{{Key: "a", Value: "accepted"}}),
		"unknown status": wire.NewResponse([]externaldata.Item{{Key: "a", Value: map[string]any{"ImageAndTag": "a", "Status": "fine"}}}),
	} {
		if got, err := wire.Reports(keys, throughJSON(t, resp)); err == nil {
			t.Errorf("%s: %+v without an error", name, got)
		}
	}
}
