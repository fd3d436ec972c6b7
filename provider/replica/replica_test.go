package replica_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/replica"
)

func claim(t *testing.T, dir string) *replica.Identity {
	t.Helper()
	i, err := replica.Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Release)
	if !regexp.MustCompile(`^[a-z0-9-]{10,59}$`).MatchString(i.Name) {
		t.Errorf("the name is %q", i.Name)
	}
	return i
}

func TestTheNameStaysAndIsHeldByOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first := claim(t, dir)
	second := claim(t, dir)
	if !first.Own || second.Own || first.Name == second.Name {
		t.Errorf("%+v beside %+v", second, first)
	}
	first.Release()
	if again := claim(t, dir); again.Name != first.Name || !again.Own {
		t.Errorf("after a restart it is %+v, and was %s", again, first.Name)
	}
	if other := claim(t, t.TempDir()); other.Name == first.Name {
		t.Error("two folders have one name")
	}
}

func TestAFileThatHoldsNoNameIsReplaced(t *testing.T) {
	for _, content := range []string{"", "\n", "a b", "UPPER", strings.Repeat("a", 1000), "a.b", "a/b", "\x00"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "replica"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		i := claim(t, dir)
		if i.Name == strings.TrimSpace(content) || !i.Own {
			t.Errorf("%q: %+v", content, i)
		}
		i.Release()
		if again := claim(t, dir); again.Name != i.Name {
			t.Errorf("%q: then %q, then %q", content, i.Name, again.Name)
		}
	}
}

func TestAFolderThatCannotBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := replica.Claim(file); err == nil || !strings.Contains(err.Error(), "dataDir") || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}
