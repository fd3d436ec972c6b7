package install

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestServedChangesAtOnce reads the folder while it is written: certificate and key
// belong together whenever both are read from one version.
func TestServedChangesAtOnce(t *testing.T) {
	s := served{filepath.Join(t.TempDir(), "tls")}
	a, b := authority(t), authority(t)
	versions := []map[string][]byte{
		{CAFile: a.CACert, ClientCAFile: a.CACert, CertFile: a.Leaf.Cert, KeyFile: a.Leaf.Key},
		{CAFile: b.CACert, ClientCAFile: b.CACert, CertFile: b.Leaf.Cert, KeyFile: b.Leaf.Key},
	}
	for i, want := range []bool{true, false} {
		if changed, err := s.write(versions[0]); err != nil || changed != want {
			t.Fatalf("write %d: %t, %v", i, changed, err)
		}
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for i := range 50 {
			if _, err := s.write(versions[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			// As the kubelet's, one version is read through its folder.
			dir, err := os.Readlink(filepath.Join(s.dir, current))
			if err != nil {
				t.Error(err)
				return
			}
			pair, err := tls.LoadX509KeyPair(filepath.Join(s.dir, dir, CertFile), filepath.Join(s.dir, dir, KeyFile))
			if errors.Is(err, os.ErrNotExist) {
				continue // it was replaced
			}
			if err != nil {
				t.Errorf("a certificate without its key: %v", err)
				return
			}
			if len(pair.Certificate) == 0 {
				t.Error("no certificate")
			}
		}
	})
	wg.Wait()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4+2 {
		t.Errorf("left in the folder: %v", entries)
	}
	// A leaf that is gone from what is served is gone from the folder.
	less := map[string][]byte{CAFile: a.CACert, ClientCAFile: a.CACert}
	if _, err := s.write(less); err != nil {
		t.Fatal(err)
	}
	have, err := s.files()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(less, have); diff != "" {
		t.Error(diff)
	}
}

func TestServedNamesItsSetting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := served{file}.write(map[string][]byte{CAFile: []byte("x")})
	if err == nil || !strings.Contains(err.Error(), "install.certificates.dir") {
		t.Errorf("%v", err)
	}
}
