package review

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/frameworks/constraint/pkg/apis/externaldata/unversioned"
	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// registerProviders makes server answer for every provider that the policies
// may call. The engine looks providers up in a table by name, and a template
// may take the name from anywhere, so the table has every string of the
// policies that can be a name: one too many does nothing.
func registerProviders(cache *externaldata.ProviderCache, p Policies, server *loopback.Server, timeout time.Duration) ([]string, error) {
	paths := map[string]string{reportsProvider: reportsPath, digestsProvider: digestsPath}
	for name := range p.names() {
		if _, known := paths[name]; !known {
			paths[name] = pathOf(name)
		}
	}
	for _, provider := range p.providers {
		paths[provider.Name] = pathOfProvider(provider)
	}
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
			return nil, fmt.Errorf("registering provider %q: %w", name, err)
		}
	}
	return slices.Sorted(maps.Keys(paths)), nil
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

// names collects the strings that can name a Provider, a cluster-scoped object,
// from the Rego sources and from the values of templates and constraints.
func (p *Policies) names() map[string]bool {
	names := map[string]bool{}
	literal := regexp.MustCompile("[\"`]([a-z0-9][-a-z0-9.]*)[\"`]")
	collect := func(s string) {
		if len(validation.IsDNS1123Subdomain(s)) == 0 {
			names[s] = true
			return
		}
		for _, match := range literal.FindAllStringSubmatch(s, -1) {
			if len(validation.IsDNS1123Subdomain(match[1])) == 0 {
				names[match[1]] = true
			}
		}
	}
	for _, t := range p.templates {
		eachString(t.object.Object, collect)
	}
	for _, c := range p.constraints {
		eachString(c.object.Object, collect)
	}
	return names
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

// addForNames adds what a suite's file holds, as far as it can be read.
func (p *Policies) addForNames(root fs.FS, suiteFile, name string) {
	b, err := fs.ReadFile(root, path.Join(path.Dir(suiteFile), name))
	if err != nil {
		return
	}
	docs, err := parseDocuments(name, b, true)
	if err != nil {
		return
	}
	for _, d := range docs {
		// As constraints they are only searched for names.
		p.constraints = append(p.constraints, d)
	}
}
