package imagescan

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/distro"
	"github.com/anchore/grype/grype/search"
	"github.com/anchore/grype/grype/vulnerability"
	"github.com/anchore/syft/syft/cpe"
	"github.com/anchore/syft/syft/format/syftjson"
	"github.com/anchore/syft/syft/linux"
	syftpkg "github.com/anchore/syft/syft/pkg"
	"github.com/anchore/syft/syft/sbom"

	"github.com/imagegate/imagegate/scanner/advisories"
	"github.com/imagegate/imagegate/scanner/database"
	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

func sample(t *testing.T) v6.Reader {
	t.Helper()
	all, err := advisories.Load()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := database.BuildSample(dir, all); err != nil {
		t.Fatal(err)
	}
	db, err := v6.NewReader(v6.Config{DBDirPath: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// written is a package list on disk.
func written(t *testing.T, release *linux.Release, packages ...syftpkg.Package) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sbom.json")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	list := sbom.SBOM{Artifacts: sbom.Artifacts{Packages: syftpkg.NewCollection(packages...), LinuxDistribution: release}}
	if err := syftjson.NewFormatEncoder().Encode(f, list); err != nil {
		t.Fatal(err)
	}
	return path
}

func vulnerableText() syftpkg.Package {
	return syftpkg.Package{Name: "golang.org/x/text", Version: "v0.3.5", Type: syftpkg.GoModulePkg, Language: syftpkg.Go, PURL: "pkg:golang/golang.org/x/text@v0.3.5"}
}

func find(ctx context.Context, t *testing.T, list string) (*sandbox.Findings, error) {
	t.Helper()
	db := sample(t)
	return findMatches(ctx, v6.NewVulnerabilityProvider(db), db, riskOf(t, db), list)
}

func riskOf(t *testing.T, db v6.Reader) *riskData {
	t.Helper()
	risk, err := watchRisk(db)
	if err != nil {
		t.Fatal(err)
	}
	return risk
}

// A scan whose time ends while it matches must not look like a clean image.
func TestMatchingThatIsCutShort(t *testing.T) {
	list := written(t, nil, vulnerableText())
	if got, err := find(t.Context(), t, list); err != nil || len(got.Vulnerabilities) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := find(ctx, t, list); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v %v", got, err)
	}
}

// broken is a database that fails when it is asked for vulnerabilities.
type broken struct{ vulnerability.Provider }

func (broken) FindVulnerabilities(...vulnerability.Criteria) ([]vulnerability.Vulnerability, error) {
	return nil, errors.New("database disk image is malformed")
}

func TestDatabaseThatFailsWhileMatching(t *testing.T) {
	db := sample(t)
	got, err := findMatches(t.Context(), broken{v6.NewVulnerabilityProvider(db)}, db, riskOf(t, db), written(t, nil, vulnerableText()))
	if err == nil || failure.Of(err).Code != failure.Database {
		t.Errorf("%+v %v", got, err)
	}
}

// An image may list products of any name; asking for them is refused before the
// database is.
func TestQuestionsThatMakeNoSense(t *testing.T) {
	w := &witness{Provider: v6.NewVulnerabilityProvider(sample(t))}
	every := cpe.CPE{Attributes: cpe.Attributes{Part: "a", Vendor: "v", Product: cpe.Any}}
	if _, err := w.FindVulnerabilities(search.ByCPE(every)); err == nil || w.err() != nil {
		t.Errorf("%v %v", err, w.err())
	}
}

func TestListThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sbom.json")
	if err := os.WriteFile(path, []byte(`{"artifacts":[{`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := find(t.Context(), t, path); !errors.Is(err, sandbox.ErrListUnreadable) {
		t.Error(err)
	}
}

func TestPackagesOfDistributions(t *testing.T) {
	deb := syftpkg.Package{Name: "libc6", Version: "2.36-9", Type: syftpkg.DebPkg}
	release := func(id, version string) *linux.Release {
		return &linux.Release{ID: id, Name: id, VersionID: version, Version: version}
	}
	for name, c := range map[string]struct {
		release   *linux.Release
		packages  []syftpkg.Package
		part      string // of the failure
		unmatched int
	}{
		"known":                   {release("debian", "12"), []syftpkg.Package{deb, vulnerableText()}, "", 0},
		"known, not this version": {release("debian", "99"), []syftpkg.Package{deb, vulnerableText()}, "", 1},
		"not in the database":     {release("alpine", "3.20.1"), []syftpkg.Package{deb}, "", 1},
		"not known at all":        {release("homemade", "1"), []syftpkg.Package{deb}, `/etc/os-release says "homemade"`, 0},
		"not said":                {nil, []syftpkg.Package{deb, vulnerableText()}, "does not say which one", 0},
		"no such packages":        {nil, []syftpkg.Package{vulnerableText()}, "", 0},
		"none, and strange":       {release("homemade", "1"), []syftpkg.Package{vulnerableText()}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := find(t.Context(), t, written(t, c.release, c.packages...))
			if c.part != "" {
				if f := failure.Of(err); err == nil || f.Code != failure.Unsupported || !strings.Contains(f.Message, c.part) {
					t.Errorf("%+v %v", got, err)
				}
				return
			}
			if err != nil || got.Unmatched != c.unmatched || got.Packages != len(c.packages) {
				t.Errorf("%+v %v, want %d", got, err, c.unmatched)
			}
		})
	}
}

// ending is a database that knows how long distributions are maintained.
type ending struct {
	vulnerability.Provider
	err error
}

func (e ending) GetOperatingSystemEOL(d *distro.Distro) (end, _ *time.Time, _ error) {
	if d.Name() != "debian" || d.MajorVersion() != "12" {
		return nil, nil, e.err
	}
	at := time.Date(2028, 6, 30, 0, 0, 0, 0, time.UTC)
	return &at, nil, e.err
}

func TestTheEndOfADistributionIsTold(t *testing.T) {
	db := sample(t)
	provider := v6.NewVulnerabilityProvider(db)
	bookworm := written(t, &linux.Release{ID: "debian", VersionID: "12"}, vulnerableText())
	got, err := findMatches(t.Context(), ending{Provider: provider}, db, riskOf(t, db), bookworm)
	if err != nil || got.EndOfLife == nil || got.EndOfLife.Year() != 2028 {
		t.Errorf("%+v %v", got, err)
	}
	// A database without such dates tells nothing, and that is no failure.
	if got, err := findMatches(t.Context(), provider, db, riskOf(t, db), bookworm); err != nil || got.EndOfLife != nil {
		t.Errorf("%+v %v", got, err)
	}
	got, err = findMatches(t.Context(), ending{Provider: provider, err: errors.New("database disk image is malformed")}, db, riskOf(t, db), bookworm)
	if err == nil || failure.Of(err).Code != failure.Database {
		t.Errorf("%+v %v", got, err)
	}
}
