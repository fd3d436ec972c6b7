package route_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/backend/route"
	"github.com/imagegate/imagegate/provider/report"
)

type named struct {
	name  string
	ready error
}

func (n named) Scan(context.Context, backend.Image) (*report.Scan, error) {
	return &report.Scan{Scanner: n.name}, nil
}
func (n named) Sharing(backend.Image) backend.Sharing {
	if n.name == "verifying" {
		return backend.ByDigest
	}
	return backend.ByRepository
}
func (n named) Ready(context.Context) error { return n.ready }
func (n named) Generation(context.Context) (backend.Generation, error) {
	return backend.Generation{Scanner: n.name}, n.ready
}

func TestTheLongestMatchingPrefixWins(t *testing.T) {
	router, err := route.New(
		route.Route{Backend: named{name: "default"}},
		route.Route{Prefix: "ghcr.io", Backend: named{name: "ghcr"}},
		route.Route{Prefix: "ghcr.io/team/", Backend: named{name: "team"}},
		route.Route{Prefix: "docker.io/library", Backend: named{name: "library"}},
		route.Route{Prefix: "docker.io/redis", Backend: named{name: "redis"}},
		route.Route{Prefix: "127.0.0.1:5000", Backend: named{name: "local"}},
		route.Route{Prefix: "Registry.Example.com.:443", Backend: named{name: "spelled"}},
		route.Route{Prefix: "[2001:db8::1]:5000", Backend: named{name: "six"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[backend.Image]string{
		{Registry: "https://quay.io", Repository: "a/b"}:                    "default",
		{Registry: "https://ghcr.io", Repository: "other/app"}:              "ghcr",
		{Registry: "https://ghcr.io", Repository: "team/app"}:               "team",
		{Registry: "https://ghcr.io", Repository: "team"}:                   "team",
		{Registry: "https://ghcr.io", Repository: "teammate/app"}:           "ghcr",
		{Registry: "https://ghcr.io.evil.example", Repository: "team/a"}:    "default",
		{Registry: "https://index.docker.io", Repository: "library/nginx"}:  "library",
		{Registry: "http://127.0.0.1:5000", Repository: "x"}:                "local",
		{Registry: "https://index.docker.io", Repository: "library/redis"}:  "redis",
		{Registry: "https://registry-1.docker.io", Repository: "redis"}:     "redis",
		{Registry: "https://index.docker.io", Repository: "library/rediss"}: "library",
		// Spellings that reach the same registry, by which a Pod's author must
		// not get another scanner.
		{Registry: "https://GHCR.io", Repository: "team/app"}:                      "team",
		{Registry: "https://ghcr.io:443", Repository: "team/app"}:                  "team",
		{Registry: "https://ghcr.io:0443", Repository: "team/app"}:                 "team",
		{Registry: "https://ghcr.io:", Repository: "team/app"}:                     "team",
		{Registry: "http://ghcr.io:80", Repository: "team/app"}:                    "team",
		{Registry: "https://ghcr.io.", Repository: "team/app"}:                     "team",
		{Registry: "https://ghcr.io.:443", Repository: "team/app"}:                 "team",
		{Registry: "https://Docker.io:443", Repository: "library/nginx"}:           "library",
		{Registry: "https://registry-1.docker.io", Repository: "library/nginx"}:    "library",
		{Registry: "https://index.docker.io:443", Repository: "library/nginx"}:     "library",
		{Registry: "https://registry.hub.docker.com", Repository: "library/nginx"}: "library",
		{Registry: "http://127.0.0.1:05000", Repository: "x"}:                      "local",
		{Registry: "https://registry.example.com", Repository: "x"}:                "spelled",
		{Registry: "https://registry.example.com:8443", Repository: "x"}:           "default",
		{Registry: "https://[2001:DB8::1]:5000", Repository: "x"}:                  "six",
	} {
		scan, err := router.Scan(t.Context(), image)
		if err != nil || scan.Scanner != want {
			t.Errorf("%s/%s goes to %v, %v, want %s", image.Registry, image.Repository, scan, err, want)
		}
	}
}

func TestWhatAScanCountsFor(t *testing.T) {
	verifying, foreign := named{name: "verifying"}, named{name: "foreign"}
	for _, tc := range []struct {
		what   string
		routes []route.Route
		want   backend.Sharing
	}{
		{"a scanner that verifies", []route.Route{{Backend: verifying}}, backend.ByDigest},
		{"one that does not", []route.Route{{Backend: foreign}}, backend.ByRepository},
		{"several", []route.Route{{Backend: verifying}, {Prefix: "ghcr.io", Backend: foreign}}, backend.ByName},
	} {
		router, err := route.New(tc.routes...)
		if err != nil {
			t.Fatal(err)
		}
		for _, registry := range []string{"https://ghcr.io", "https://quay.io"} {
			if got := router.Sharing(backend.Image{Registry: registry, Repository: "app"}); got != tc.want {
				t.Errorf("%s, %s: %d, want %d", tc.what, registry, got, tc.want)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	b := named{}
	for want, routes := range map[string][]route.Route{
		"no scanner is configured": {{Prefix: "ghcr.io", Backend: b}},
		"routed twice":             {{Backend: b}, {Prefix: "docker.io/x", Backend: b}, {Prefix: "Registry-1.docker.io:443/x/", Backend: b}},
		`prefix "https://ghcr.io"`: {{Backend: b}, {Prefix: "https://ghcr.io", Backend: b}},
		`"docker.io/x" is routed`:  {{Backend: b}, {Prefix: "docker.io/library/x", Backend: b}, {Prefix: "docker.io/x", Backend: b}},
		`prefix "team/app"`:        {{Backend: b}, {Prefix: "team/app", Backend: b}},
	} {
		if _, err := route.New(routes...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestReadyWhenOneIs(t *testing.T) {
	down := errors.New("connection refused")
	for _, tc := range []struct {
		main, ghcr error
		want       []string
	}{
		{nil, nil, nil},
		{nil, down, nil},
		{down, nil, nil},
		{down, down, []string{"connection refused", "for ghcr.io: connection refused"}},
	} {
		router, err := route.New(route.Route{Backend: named{ready: tc.main}}, route.Route{Prefix: "ghcr.io", Backend: named{ready: tc.ghcr}})
		if err != nil {
			t.Fatal(err)
		}
		err = router.Ready(t.Context())
		if (err == nil) != (tc.want == nil) {
			t.Errorf("%v and %v: %v", tc.main, tc.ghcr, err)
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q lacks %q", err, want)
			}
		}
	}
}

// updating is a scanner whose answer a test changes.
type updating struct {
	named
	generation backend.Generation
	err        error
}

func (u *updating) Generation(context.Context) (backend.Generation, error) {
	return u.generation, u.err
}

func TestAScannerThatIsDownKeepsNoGenerationFromOthers(t *testing.T) {
	down := errors.New("connection refused")
	main := &updating{generation: backend.Generation{Scanner: "main", DatabaseBuiltAt: time.Unix(1, 0)}}
	team := &updating{err: down}
	router, err := route.New(route.Route{Backend: main}, route.Route{Prefix: "ghcr.io", Backend: team})
	if err != nil {
		t.Fatal(err)
	}
	check := func(step string, failing bool, want ...backend.Generation) {
		t.Helper()
		got, err := router.Generations(t.Context())
		if !slices.Equal(got, want) || errors.Is(err, down) != failing {
			t.Errorf("%s: %v, %v; want %v", step, got, err, want)
		}
	}
	// The routes are in the order of their prefixes' length.
	check("one has never answered", true, backend.Generation{}, main.generation)
	main.generation.DatabaseBuiltAt = time.Unix(2, 0)
	check("the other goes on", true, backend.Generation{}, main.generation)
	team.generation, team.err = backend.Generation{Scanner: "team"}, nil
	check("both answer", false, team.generation, main.generation)
	team.err, main.generation.DatabaseBuiltAt = down, time.Unix(3, 0)
	check("one is down again", true, backend.Generation{Scanner: "team"}, main.generation)
}

// together answers only once all of them have been asked.
type together struct {
	named
	all *sync.WaitGroup
}

func (g together) Generation(context.Context) (backend.Generation, error) {
	g.all.Done()
	g.all.Wait()
	return backend.Generation{Scanner: g.name}, nil
}

func TestGenerationsAreAskedForAtOnce(t *testing.T) {
	var all sync.WaitGroup
	all.Add(2)
	router, err := route.New(route.Route{Backend: together{named{name: "a"}, &all}}, route.Route{Prefix: "ghcr.io", Backend: together{named{name: "b"}, &all}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := router.Generations(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
}
