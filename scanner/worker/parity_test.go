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
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/imagegate/imagegate/scanner/advisories"
	"github.com/imagegate/imagegate/scanner/database"
	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/worker"
)

// The worker finds what Grype's own command line of the same version finds with
// the same database, finding by finding.
func TestSameFindingsAsGrype(t *testing.T) {
	reg := startRegistry(t)
	file := riskySample(t)
	w := startWorker(t, func(c *worker.Config) { c.Database.Sample, c.Database.Import = false, file })
	cli := newGrype(t, reg, w.cache)
	weighed := map[string]bool{}
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
		for _, l := range want {
			for _, part := range []string{"listed", "probability", "risk", "fix of"} {
				weighed[part] = weighed[part] || strings.Contains(l, ", "+part+" ")
			}
		}
		if len(want) == 0 {
			t.Errorf("%s: Grype finds nothing, which proves nothing", name)
		}
		diff := difference(want, got)
		t.Logf("%-15s  Grype's command line: %d findings, worker: %d, difference: %s", name, len(want), len(got), diff)
		if diff != "none" {
			t.Errorf("%s: the findings differ", name)
		}
	}
	if len(weighed) != 4 || !weighed["listed"] || !weighed["probability"] || !weighed["risk"] || !weighed["fix of"] {
		t.Errorf("Grype does not tell all of the risk, which proves nothing: %v", weighed)
	}
}

// riskySample is the sample with scores for every flaw that has a CVE, two of which
// are known to be exploited beside those that are, and with a day for every fix.
func riskySample(t *testing.T) string {
	t.Helper()
	all, err := advisories.Load()
	if err != nil {
		t.Fatal(err)
	}
	scored := map[string]bool{}
	for i := range all.Advisories {
		a := &all.Advisories[i]
		for n := range a.Affected {
			a.Affected[n].FixedOn = fmt.Sprintf("2026-10-%02d", i+1)
		}
		at := slices.IndexFunc(append([]string{a.ID}, a.Aliases...), func(id string) bool { return strings.HasPrefix(id, "CVE-") })
		if at < 0 {
			continue
		}
		cve := append([]string{a.ID}, a.Aliases...)[at]
		if !scored[cve] {
			scored[cve] = true
			a.EPSS = &advisories.EPSS{CVE: cve, Probability: 0.9 / float64(i+1), Percentile: 1 - 0.01*float64(i)}
		}
		if a.ID == "GHSA-ppp9-7jff-5vj2" {
			a.Exploited = &advisories.Exploited{CVE: cve, Added: "2026-11-02", Due: "2026-11-23", Ransomware: true}
		}
	}
	file, err := database.BuildSample(t.TempDir(), all)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// risk is what is known of a finding's, in the words of both; what is not known is
// left out.
func risk(listed []string, probability, percentile float64, score float64, fixes string) string {
	var out string
	if len(listed) > 0 {
		out += ", listed " + strings.Join(listed, " and ")
	}
	if probability > 0 {
		out += fmt.Sprintf(", probability %.6f percentile %.6f", probability, percentile)
	}
	// Grype's 0 is of a flaw of which it knows neither.
	if score > 0 {
		out += fmt.Sprintf(", risk %.6f", score)
	}
	if fixes != "" {
		out += ", fix of " + fixes
	}
	return out
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
		var listed []string
		if k := a.KnownExploited; k != nil {
			listed = append(listed, fmt.Sprintf("%s %s %s %v", strings.Join(k.CVEs, " "), k.DateAdded, k.DueDate, k.Ransomware))
		}
		var probability, percentile, score float64
		if a.EPSS != nil {
			probability, percentile = a.EPSS.Probability, a.EPSS.Percentile
		}
		if a.Risk != nil {
			score = *a.Risk
		}
		fix := ""
		if a.FixAvailable != nil {
			fix = a.FixAvailable.Format(time.DateOnly)
		}
		out = append(out, line(kind, v.ID, v.Package, v.Version, a.Type, a.PURL, string(v.Severity), v.FixVersion, a.FixState, a.Namespace, a.Path)+
			risk(listed, probability, percentile, score, fix))
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
			Versions  []string `json:"versions"`
			State     string   `json:"state"`
			Available []struct {
				Date string `json:"date"`
			} `json:"available"`
		} `json:"fix"`
		Risk float64 `json:"risk"`
		EPSS []struct {
			EPSS       float64 `json:"epss"`
			Percentile float64 `json:"percentile"`
		} `json:"epss"`
		KnownExploited []struct {
			CVE        string `json:"cve"`
			Added      string `json:"dateAdded"`
			Due        string `json:"dueDate"`
			Ransomware string `json:"knownRansomwareCampaignUse"`
		} `json:"knownExploited"`
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
		var listed []string
		for _, k := range v.KnownExploited {
			listed = append(listed, fmt.Sprintf("%s %s %s %v", k.CVE, k.Added, k.Due, strings.EqualFold(k.Ransomware, "known")))
		}
		var probability, percentile float64
		if len(v.EPSS) > 0 {
			probability, percentile = v.EPSS[0].EPSS, v.EPSS[0].Percentile
		}
		fix := ""
		if len(v.Fix.Available) > 0 {
			fix, _, _ = strings.Cut(v.Fix.Available[0].Date, "T")
		}
		out = append(out, line(kind, v.ID, a.Name, a.Version, a.Type, a.PURL, v.Severity, strings.Join(v.Fix.Versions, ", "), v.Fix.State, v.Namespace, path)+
			risk(listed, probability, percentile, v.Risk, fix))
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
