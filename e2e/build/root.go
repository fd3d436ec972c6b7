package build

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Root finds the repository's root folder: the nearest parent of the working
// directory whose go.mod is imagegate's own. Tests run in their package's
// folder, commands anywhere inside the repository.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module github.com/imagegate/imagegate\n")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: run this inside the imagegate repository")
		}
		dir = parent
	}
}
