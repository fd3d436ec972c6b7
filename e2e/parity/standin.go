package parity

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/imagegate/imagegate/e2e/pki"
)

// StandIn is a provider that answers from the cases' reports. It speaks the
// wire protocol of the real one over TLS 1.3, to clients with a certificate
// only. Keys carry the namespace, and a namespace has one case.
type StandIn struct {
	URL string

	server *http.Server

	mu sync.Mutex
	// cases by namespace and, for keys without one, by image.
	cases, byImage map[string]Case
	asked          map[string][]string // keys by namespace
}

// Serve starts a stand-in for the cases with a certificate of the authority.
func Serve(authority *pki.Authority, cases []Case) (*StandIn, error) {
	config, err := serverTLS(authority)
	if err != nil {
		return nil, err
	}
	s := &StandIn{cases: map[string]Case{}, byImage: map[string]Case{}, asked: map[string][]string{}}
	for _, c := range cases {
		s.cases[c.Namespace] = c
		for _, r := range c.Reports {
			image, _ := r["ImageAndTag"].(string)
			s.byImage[image] = c
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends at once
	if err != nil {
		return nil, fmt.Errorf("start the stand-in: %w", err)
	}
	s.URL = "https://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /scan-reports", s.answer)
	s.server = &http.Server{Handler: mux, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := s.server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			log.Printf("stand-in: %v", err)
		}
	}()
	return s, nil
}

func serverTLS(authority *pki.Authority) (*tls.Config, error) {
	pair, err := authority.Issue("parity-provider")
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, fmt.Errorf("read the stand-in's certificate: %w", err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(authority.PEM)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{certificate},
		ClientCAs:    clients,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}

// Stop ends the stand-in.
func (s *StandIn) Stop() { _ = s.server.Close() }

// Asked returns the keys that the case's templates have asked for since the last
// call.
func (s *StandIn) Asked(c Case) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked[c.Namespace]
	delete(s.asked, c.Namespace)
	return asked
}

// request and response are ProviderRequest and ProviderResponse of
// externaldata.gatekeeper.sh/v1beta1.
type request struct {
	Request struct {
		Keys []string `json:"keys"`
	} `json:"request"`
}

type response struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Response   struct {
		Idempotent  bool   `json:"idempotent"`
		Items       []item `json:"items"`
		SystemError string `json:"systemError,omitempty"`
	} `json:"response"`
}

type item struct {
	Key   string `json:"key"`
	Value any    `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

func (s *StandIn) answer(w http.ResponseWriter, r *http.Request) {
	var req request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	resp := response{APIVersion: "externaldata.gatekeeper.sh/v1beta1", Kind: "ProviderResponse"}
	resp.Response.Idempotent = true
	for _, k := range req.Request.Keys {
		image, view, original, c, err := s.read(k)
		if err != nil {
			resp.Response.Items = append(resp.Response.Items, item{Key: k, Error: err.Error()})
			continue
		}
		resp.Response.SystemError = c.SystemError
		resp.Response.Items = append(resp.Response.Items, c.items(k, image, view, original)...)
	}
	if resp.Response.SystemError != "" {
		resp.Response.Items = nil
	}
	w.Header().Set("Content-Type", "application/json")
	// The client may be gone: there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(resp)
}

// read finds a key's case and writes down that it was asked for.
func (s *StandIn) read(key string) (image, view, original string, c Case, err error) {
	image, query, _ := strings.Cut(key, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", "", "", Case{}, fmt.Errorf("malformed key %q: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, found := s.cases[values.Get("namespace")]
	if !found {
		if c, found = s.byImage[image]; !found {
			return "", "", "", Case{}, fmt.Errorf("no case has key %q", key)
		}
	}
	s.asked[c.Namespace] = append(s.asked[c.Namespace], key)
	return image, values.Get("view"), values.Get("original"), c, nil
}

// items answers one key. What is not final goes under a key that is never
// asked for, so that Gatekeeper does not keep it.
func (c Case) items(key, image, view, original string) []item {
	if c.Answers != nil {
		var out []item
		for _, a := range c.Answers {
			if a.Image == image {
				out = append(out, item{Key: key + a.Suffix, Value: a.Value, Error: a.Error})
			}
		}
		return out
	}
	report := c.named(image, original)
	switch report["Status"] {
	case "accepted", "rejected":
		return []item{{Key: key, Value: shown(report, view)}}
	default:
		return []item{{Key: key + "#", Value: report}}
	}
}

// named is the report of an image under the name that its original gives it:
// the original itself, when the case's report of that tag is of the digest.
func (c Case) named(image, original string) map[string]any {
	if original == "" {
		return c.report(image)
	}
	report := maps.Clone(c.report(image))
	report["Image"] = image
	reference, digest, _ := strings.Cut(image, "@")
	for _, r := range c.Reports {
		if r["ImageAndTag"] == original && r["Digest"] == digest && (original == reference || strings.HasPrefix(original, reference+":")) {
			if report["Status"] == "report_not_available" {
				report = maps.Clone(worded(r))
			}
			report["ImageAndTag"], report["Image"] = original, image
		}
	}
	return report
}

func (c Case) report(image string) map[string]any {
	for _, r := range c.Reports {
		if r["ImageAndTag"] == image {
			return worded(r)
		}
	}
	return map[string]any{
		"ImageAndTag": image,
		"Status":      "report_not_available",
		// As provider review says it.
		"Message": "the reports file has no report for this image",
	}
}

// worded is a report with a Message, which every provider's has: where the case
// does not care, the words of provider review.
func worded(report map[string]any) map[string]any {
	said := map[any]string{
		"accepted": "the scanner's policy accepts the image",
		"rejected": "the scanner's policy rejects the image",
	}[report["Status"]]
	if _, given := report["Message"]; given || said == "" {
		return report
	}
	out := maps.Clone(report)
	out["Message"] = said
	return out
}

// shown is what a view shows of a report. A report without a list, as of a
// scanner that tells only its verdict, has no summary either.
func shown(report map[string]any, view string) map[string]any {
	out := maps.Clone(report)
	findings, listed := report["Vulnerabilities"].([]any)
	if _, given := out["Summary"]; !given && listed {
		out["Summary"] = map[string]any{"Total": len(findings)}
	}
	if view != "findings" && view != "full" || len(findings) == 0 {
		delete(out, "Vulnerabilities")
	}
	if view != "full" {
		delete(out, "InnerReport")
	}
	return out
}
