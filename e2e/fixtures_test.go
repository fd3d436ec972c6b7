package e2e_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/imagegate/imagegate/e2e/cluster"
)

// fixtureProvider is the Provider's name that the policies of the table ask.
const fixtureProvider = "policy-table"

// serveFixtures answers Gatekeeper from a file of ScanReports, as the provider
// would from scans: the table is about policies, and its images exist nowhere.
func serveFixtures(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := yaml.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	reports := map[string]map[string]any{}
	for _, r := range list {
		reports[r["ImageAndTag"].(string)] = r
	}
	pair, err := shared.Cluster.Webhooks.Issue(fixtureProvider)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(shared.Cluster.Webhooks.PEM)
	srv := httptest.NewUnstartedServer(fixtureHandler(reports))
	srv.TLS = &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
		ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	if err := shared.Cluster.Apply(t.Context(), fmt.Sprintf(`
apiVersion: externaldata.gatekeeper.sh/v1beta1
kind: Provider
metadata: {name: %s}
spec:
  url: %s/scan-reports
  timeout: 2
  caBundle: %s
`, fixtureProvider, srv.URL, base64.StdEncoding.EncodeToString(shared.Cluster.Webhooks.PEM))); err != nil {
		t.Fatal(err)
	}
	if err := shared.Cluster.WaitTaken(t.Context(), cluster.Providers, fixtureProvider); err != nil {
		t.Fatal(err)
	}
}

// item of a ProviderResponse.
type item struct {
	Key   string         `json:"key"`
	Value map[string]any `json:"value"`
}

func fixtureHandler(reports map[string]map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		var asked struct {
			Request struct {
				Keys []string `json:"keys"`
			} `json:"request"`
		}
		if err := json.NewDecoder(req.Body).Decode(&asked); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		items := []item{}
		for _, key := range asked.Request.Keys {
			items = append(items, fixtureItem(reports, key))
		}
		var out bytes.Buffer
		if err := json.NewEncoder(&out).Encode(map[string]any{
			"apiVersion": "externaldata.gatekeeper.sh/v1beta1",
			"kind":       "ProviderResponse",
			"response":   map[string]any{"idempotent": true, "items": items},
		}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(out.Bytes())
	}
}

// fixtureItem answers one key by the provider's rules: a report that is not
// final comes under a key that nobody asks for, and the list of findings only
// in the views that have it.
func fixtureItem(reports map[string]map[string]any, key string) item {
	image, query, _ := strings.Cut(key, "?")
	found, ok := reports[image]
	if !ok {
		found = map[string]any{
			"Status": "report_not_available", "Message": "the reports file has no report for this image",
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		found = map[string]any{"Status": "scan_failed", "Message": err.Error()}
	}
	report := map[string]any{}
	for name, value := range found {
		if name != "Vulnerabilities" || values.Get("view") == "findings" {
			report[name] = value
		}
	}
	report["ImageAndTag"] = image
	if s := report["Status"]; s != "accepted" && s != "rejected" {
		key += "#"
	}
	return item{Key: key, Value: report}
}
