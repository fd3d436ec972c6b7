package review

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/externaldata/unversioned"
	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/imagegate/imagegate/provider/review/loopback"
)

// The names under which the provider is known without a Provider object.
const (
	reportsProvider = "imagegate-provider"
	digestsProvider = "imagegate-digests"
)

// The provider's two endpoints.
const (
	reportsPath = "/scan-reports"
	digestsPath = "/digests"
)

// providerPaths tells for every provider that the policies may call which
// endpoint it is.
func (p *Policies) providerPaths() map[string]string {
	var docs []document
	for _, t := range p.templates {
		docs = append(docs, t.document)
	}
	paths := providerPathsIn(append(docs, p.constraints...))
	for _, provider := range p.providers {
		paths[provider.Name] = pathOfProvider(provider)
	}
	return paths
}

// unknownProviders says of the Constraints that name a Provider which none of the
// files has. Here it is answered all the same; a cluster that has none either denies
// every image.
func (p *Policies) unknownProviders() []string {
	known := []string{reportsProvider, digestsProvider}
	for _, provider := range p.providers {
		if !slices.Contains(known, provider.Name) {
			known = append(known, provider.Name)
		}
	}
	var notes []string
	for _, d := range p.constraints {
		name, found, err := unstructured.NestedString(d.object.Object, "spec", "parameters", "provider")
		if err != nil || !found || slices.Contains(known, name) {
			continue
		}
		notes = append(notes, fmt.Sprintf("%s: %s asks the Provider %q, which none of the files has; known are %s. A cluster without it denies every image",
			d.source, d.label(), name, strings.Join(known, ", ")))
	}
	return notes
}

// providerPathsIn looks for the names of Providers in templates and
// constraints. The engine looks providers up in a table by name, and a template
// may take the name from anywhere, so every string that can be a name counts:
// one too many in the table does nothing.
func providerPathsIn(docs []document) map[string]string {
	paths := map[string]string{reportsProvider: reportsPath, digestsProvider: digestsPath}
	literal := regexp.MustCompile("[\"`]([a-z0-9][-a-z0-9.]*)[\"`]")
	add := func(s string) {
		if _, known := paths[s]; !known && len(validation.IsDNS1123Subdomain(s)) == 0 {
			paths[s] = pathOf(s)
		}
	}
	for _, d := range docs {
		eachString(d.object.Object, func(s string) {
			add(s)
			for _, match := range literal.FindAllStringSubmatch(s, -1) {
				add(match[1])
			}
		})
	}
	return paths
}

// registerProviders makes server answer for the providers.
func registerProviders(cache *externaldata.ProviderCache, paths map[string]string, server *loopback.Server, timeout time.Duration) error {
	for name, path := range paths {
		err := cache.Upsert(&unversioned.Provider{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: unversioned.ProviderSpec{
				URL:      server.URL() + path,
				Timeout:  int((timeout + time.Second - 1) / time.Second),
				CABundle: base64.StdEncoding.EncodeToString(server.CA()),
			},
		})
		if err != nil {
			return fmt.Errorf("registering provider %q: %w", name, err)
		}
	}
	return nil
}

func pathOfProvider(p *unversioned.Provider) string {
	if u, err := url.Parse(p.Spec.URL); err == nil {
		switch {
		case strings.HasSuffix(u.Path, digestsPath):
			return digestsPath
		case strings.HasSuffix(u.Path, reportsPath):
			return reportsPath
		}
	}
	return pathOf(p.Name)
}

func pathOf(name string) string {
	if strings.Contains(name, "digest") {
		return digestsPath
	}
	return reportsPath
}

func eachString(v any, collect func(string)) {
	switch v := v.(type) {
	case string:
		collect(v)
	case []any:
		for _, item := range v {
			eachString(item, collect)
		}
	case map[string]any:
		for _, item := range v {
			eachString(item, collect)
		}
	}
}
