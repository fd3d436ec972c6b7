package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/imagegate/imagegate/provider/install/trust"
)

// served is the folder of what is served. All its files change at once, as the
// kubelet's do: they are links through one link that is replaced.
type served struct{ dir string }

const current = "..data"

// The mutator beside us may have another user of the same group.
const folderMode, fileMode = 0o750, 0o640

// files returns what is in the folder, nothing where nothing is.
func (s served) files() (map[string][]byte, error) {
	found := map[string][]byte{}
	for _, name := range []string{CertFile, KeyFile, CAFile, ClientCAFile} {
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading what is served: %w", err)
		}
		found[name] = b
	}
	return found, nil
}

// leaf returns the leaf that is served; none has no Cert.
func leafOf(files map[string][]byte) trust.Leaf {
	return trust.Leaf{Cert: files[CertFile], Key: files[KeyFile]}
}

// write puts exactly these files into the folder, if they are not there already.
func (s served) write(files map[string][]byte) (changed bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing certificates to %s (install.certificates.dir): %w", s.dir, err)
		}
	}()
	have, err := s.files()
	if err != nil || same(have, files) {
		return false, err
	}
	if err := os.MkdirAll(s.dir, folderMode); err != nil {
		return false, err
	}
	// A name that was never there: who still reads an earlier version finds it whole or gone.
	version, err := os.MkdirTemp(s.dir, "..v")
	if err != nil {
		return false, err
	}
	if err := os.Chmod(version, folderMode); err != nil {
		return false, err
	}
	name := filepath.Base(version)
	for file, b := range files {
		if err := os.WriteFile(filepath.Join(version, file), b, fileMode); err != nil {
			return false, err
		}
	}
	if err := link(name, filepath.Join(s.dir, current)); err != nil {
		return false, err
	}
	for _, file := range []string{CertFile, KeyFile, CAFile, ClientCAFile} {
		at := filepath.Join(s.dir, file)
		if _, ok := files[file]; !ok {
			if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return false, err
			}
			continue
		}
		if to, err := os.Readlink(at); err == nil && to == filepath.Join(current, file) {
			continue
		}
		if err := link(filepath.Join(current, file), at); err != nil {
			return false, err
		}
	}
	return true, s.clean(name)
}

// clean removes the versions before.
func (s served) clean(keep string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..v") && e.Name() != keep {
			if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// link replaces what is at path at once.
func link(to, path string) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(to, next); err != nil {
		return err
	}
	return os.Rename(next, path)
}

func same(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for name, content := range a {
		if other, ok := b[name]; !ok || !bytes.Equal(content, other) {
			return false
		}
	}
	return true
}
