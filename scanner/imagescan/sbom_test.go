package imagescan

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/anchore/syft/syft/file"
	"github.com/anchore/syft/syft/sbom"
	"github.com/anchore/syft/syft/source/directorysource"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// A list that is cut short must not be kept as the image's.
func TestListingThatIsCutShort(t *testing.T) {
	dir := t.TempDir()
	module := filepath.Join(dir, "node_modules", "minimist")
	if err := os.MkdirAll(module, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(module, "package.json"), []byte(`{"name":"minimist","version":"1.2.5"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := directorysource.NewFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if list, err := complete(ctx, src); !errors.Is(err, context.Canceled) {
		t.Errorf("%v %v", list, err)
	}
}

func TestListThatLacksPackagesForWantOfResources(t *testing.T) {
	at := file.Coordinates{RealPath: "/app.jar"}
	for note, code := range map[string]failure.Code{
		"java-archive-cataloger: write /tmp/x: no space left on device": failure.Internal,
		"java-archive-cataloger: write /tmp/x: disk quota exceeded":     failure.Internal,
		"java-archive-cataloger: write /tmp/x: file too large":          failure.TooLarge,
		"a-cataloger: open /x: too many open files":                     failure.Internal,
		"a-cataloger: fork: cannot allocate memory":                     failure.TooLarge,
		"a-cataloger: read /x: input/output error":                      failure.Internal,
		"unknowns-labeler: no package identified in executable file":    "",
		"a-cataloger: zip: not a valid zip file":                        "",
	} {
		err := lackedResources(&sbom.SBOM{Artifacts: sbom.Artifacts{Unknowns: map[file.Coordinates][]string{
			{RealPath: "/other"}: {"a-cataloger: odd"}, at: {"a-cataloger: odd", note},
		}}})
		if (err == nil) != (code == "") || err != nil && failure.Of(explain(err, sandbox.Request{})).Code != code {
			t.Errorf("%s: %v, want %q", note, err, code)
		}
	}
	if catalogers().Unknowns.RemoveWhenPackagesDefined {
		t.Error("notes are removed where another cataloger found packages")
	}
	if f := failure.Of(explain(syscall.EIO, sandbox.Request{})); f.Message == "" || f.Code != failure.Internal {
		t.Errorf("%+v", f)
	}
}
