package route_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/scanner"
	"github.com/imagegate/imagegate/provider/scanner/route"
)

type named struct {
	name  string
	ready error
}

func (n named) Scan(context.Context, scanner.Image) (*report.Scan, error) {
	return &report.Scan{Scanner: n.name}, nil
}
func (n named) Ready(context.Context) error { return n.ready }
func (n named) Generation(context.Context) (scanner.Generation, error) {
	return scanner.Generation{Scanner: n.name}, n.ready
}

func TestTheLongestMatchingPrefixWins(t *testing.T) {
	router, err := route.New(
		route.Route{Backend: named{name: "default"}},
		route.Route{Prefix: "ghcr.io", Backend: named{name: "ghcr"}},
		route.Route{Prefix: "ghcr.io/team/", Backend: named{name: "team"}},
		route.Route{Prefix: "docker.io/library", Backend: named{name: "library"}},
		route.Route{Prefix: "127.0.0.1:5000", Backend: named{name: "local"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[scanner.Image]string{
		{Registry: "https://quay.io", Repository: "a/b"}:                   "default",
		{Registry: "https://ghcr.io", Repository: "other/app"}:             "ghcr",
		{Registry: "https://ghcr.io", Repository: "team/app"}:              "team",
		{Registry: "https://ghcr.io", Repository: "team"}:                  "team",
		{Registry: "https://ghcr.io", Repository: "teammate/app"}:          "ghcr",
		{Registry: "https://ghcr.io.evil.example", Repository: "team/a"}:   "default",
		{Registry: "https://index.docker.io", Repository: "library/nginx"}: "library",
		{Registry: "http://127.0.0.1:5000", Repository: "x"}:               "local",
	} {
		scan, err := router.Scan(t.Context(), image)
		if err != nil || scan.Scanner != want {
			t.Errorf("%s/%s goes to %v, %v, want %s", image.Registry, image.Repository, scan, err, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	b := named{}
	for want, routes := range map[string][]route.Route{
		"no scanner is configured": {{Prefix: "ghcr.io", Backend: b}},
		"routed twice":             {{Backend: b}, {Prefix: "docker.io/x", Backend: b}, {Prefix: "index.docker.io/x/", Backend: b}},
		`prefix "https://ghcr.io"`: {{Backend: b}, {Prefix: "https://ghcr.io", Backend: b}},
	} {
		if _, err := route.New(routes...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestReadyNamesWhoIsNot(t *testing.T) {
	down := errors.New("connection refused")
	router, err := route.New(route.Route{Backend: named{}}, route.Route{Prefix: "ghcr.io", Backend: named{ready: down}})
	if err != nil {
		t.Fatal(err)
	}
	if err := router.Ready(t.Context()); !errors.Is(err, down) || !strings.Contains(err.Error(), "ghcr.io") {
		t.Errorf("Ready: %v", err)
	}
	if _, err := router.Generations(t.Context()); err == nil {
		t.Error("generations of a scanner that is down")
	}
}
