package worker_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/imagegate/imagegate/scanner/harbor"
)

// The worker finds what Grype's own command line of the same version finds with
// the same database, finding by finding.
func TestSameFindingsAsGrype(t *testing.T) {
	reg := startRegistry(t)
	w := startWorker(t, nil)
	cli := newGrype(t, reg, w.cache)
	for _, sample := range []struct {
		name, repository string
		image            v1.Image
	}{
		{"Go programs", "team/go", image(t, layerOf(t, build(t, "vulnerable")), layer(t, map[string][]byte{"scanner": read(t, shippedBinary(t))}))},
		{"npm packages", "team/npm", image(t, layer(t, npmFiles()))},
		{"Debian packages", "team/debian", image(t, layer(t, debianFiles(0)))},
	} {
		name, repository := sample.name, sample.repository
		digest := push(t, reg, repository, sample.image)
		got := ofWorker(w.report(t, request(reg, repository, digest)))
		want := cli.scan(t, repository+"@"+digest)
		if len(want) == 0 {
			t.Errorf("%s: Grype finds nothing, which proves nothing", name)
		}
		diff := difference(want, got)
		t.Logf("%-15s  Grype's command line: %d findings, worker: %d, difference: %s", name, len(want), len(got), diff)
		if diff != "none" {
			t.Errorf("%s: the findings differ", name)
		}
	}
}

// difference is in the manner of diff: - is Grype's only, + the worker's only.
func difference(want, got []string) string {
	var out strings.Builder
	for _, l := range want {
		if !slices.Contains(got, l) {
			fmt.Fprintf(&out, "\n- %s", l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			fmt.Fprintf(&out, "\n+ %s", l)
		}
	}
	if out.Len() == 0 {
		return "none"
	}
	return out.String()
}

func line(kind, id, pkg, version, pkgType, purl, severity, fix, state, namespace, path string) string {
	return fmt.Sprintf("%s %s in %s %s (%s %s) %s, fixed %q (%s), %s, at %s", kind, id, pkg, version, pkgType, purl, severity, fix, state, namespace, path)
}

func ofWorker(r harbor.Report) []string {
	var out []string
	add := func(kind string, v harbor.Vulnerability) {
		a := v.VendorAttributes
		out = append(out, line(kind, v.ID, v.Package, v.Version, a.Type, a.PURL, string(v.Severity), v.FixVersion, a.FixState, a.Namespace, a.Path))
	}
	for _, v := range r.Vulnerabilities {
		add("found", v)
	}
	for _, v := range r.Suppressed {
		add("suppressed", v.Vulnerability)
	}
	slices.Sort(out)
	return out
}

// grype is Grype's command line, told to use the worker's database.
type grype struct {
	binary, registry string
	env              []string
}

func newGrype(t *testing.T, reg *testRegistry, workerCache string) *grype {
	t.Helper()
	databases, err := filepath.Glob(filepath.Join(workerCache, "db", "gen-*"))
	if err != nil || len(databases) != 1 {
		t.Fatalf("the worker's database: %v %v", databases, err)
	}
	home := t.TempDir()
	login := fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, reg.host(), user, password)
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	return &grype{binary: grypeBinary(t), registry: reg.host(), env: []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + home,
		"TMPDIR=" + home,
		"DOCKER_CONFIG=" + home,
		"GRYPE_DB_CACHE_DIR=" + databases[0],
		"GRYPE_DB_AUTO_UPDATE=false",
		"GRYPE_DB_VALIDATE_AGE=false",
		"GRYPE_CHECK_FOR_APP_UPDATE=false",
		"GRYPE_REGISTRY_INSECURE_USE_HTTP=true",
		"GRYPE_INCLUDE_MATCHER_SUPPRESSIONS=true",
	}}
}

func (g *grype) command(image string) *exec.Cmd {
	cmd := exec.Command(g.binary, "registry:"+g.registry+"/"+image, "-o", "json", "-q")
	cmd.Env = g.env
	return cmd
}

// grypeMatch is one match in Grype's JSON.
type grypeMatch struct {
	Vulnerability struct {
		ID        string `json:"id"`
		Namespace string `json:"namespace"`
		Severity  string `json:"severity"`
		Fix       struct {
			Versions []string `json:"versions"`
			State    string   `json:"state"`
		} `json:"fix"`
	} `json:"vulnerability"`
	Artifact struct {
		Name      string `json:"name"`
		Version   string `json:"version"`
		Type      string `json:"type"`
		PURL      string `json:"purl"`
		Locations []struct {
			Path string `json:"path"`
		} `json:"locations"`
	} `json:"artifact"`
}

func (g *grype) scan(t *testing.T, image string) []string {
	t.Helper()
	raw, err := g.command(image).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("grype: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var doc struct {
		Matches        []grypeMatch `json:"matches"`
		IgnoredMatches []grypeMatch `json:"ignoredMatches"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var out []string
	add := func(kind string, m grypeMatch) {
		v, a := m.Vulnerability, m.Artifact
		path := ""
		if len(a.Locations) > 0 {
			path = a.Locations[0].Path
		}
		out = append(out, line(kind, v.ID, a.Name, a.Version, a.Type, a.PURL, v.Severity, strings.Join(v.Fix.Versions, ", "), v.Fix.State, v.Namespace, path))
	}
	for _, m := range doc.Matches {
		add("found", m)
	}
	for _, m := range doc.IgnoredMatches {
		add("suppressed", m)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
