package review

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator/verify"

	"github.com/imagegate/imagegate/provider/strict"
)

// suite is a gator Suite with what imagegate adds to its cases.
type suite struct {
	*verify.Suite
	// reports[i][j] is the reports file of test i's case j, relative to the
	// suite's directory; empty for none.
	reports [][]string
}

// suiteFields are those of a suite, gator's for gator to read. gator ignores
// unknown fields; here one is refused, for a misspelled `cases` would run none, a
// misspelled `violations` would take any number of them, and a misspelled `reports`
// would run the case with every scan pending.
type suiteFields struct {
	APIVersion json.RawMessage `json:"apiVersion"`
	Kind       json.RawMessage `json:"kind"`
	Metadata   json.RawMessage `json:"metadata"`
	Tests      []suiteTest     `json:"tests"`
	Skip       json.RawMessage `json:"skip"`
}

type suiteTest struct {
	Name       any               `json:"name"`
	Template   json.RawMessage   `json:"template"`
	Constraint json.RawMessage   `json:"constraint"`
	Expansion  json.RawMessage   `json:"expansion"`
	Cases      []json.RawMessage `json:"cases"`
	Invalid    json.RawMessage   `json:"invalid"`
	Skip       json.RawMessage   `json:"skip"`
}

type suiteAssertion struct {
	Violations json.RawMessage `json:"violations"`
	Message    json.RawMessage `json:"message"`
}

type suiteCase struct {
	Name       json.RawMessage  `json:"name"`
	Object     json.RawMessage  `json:"object"`
	Inventory  json.RawMessage  `json:"inventory"`
	Assertions []suiteAssertion `json:"assertions"`
	Skip       json.RawMessage  `json:"skip"`
	// Reports names the reports file that answers the case's external data.
	Reports string `json:"reports"`
}

// readSuites finds suites as `gator verify` does: in a file, in a directory, or
// with /... behind it in all below it. Unlike gator it passes over YAML that is
// no object, for a reports file is a list. Paths in the file system start at
// its root.
func readSuites(target string) (fs.FS, []suite, error) {
	dir, recursive := strings.CutSuffix(target, "...")
	dir = filepath.Clean(dir)
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("suites: %w", err)
	}
	files, err := suiteFiles(absolute, recursive)
	if err != nil {
		return nil, nil, fmt.Errorf("reading suites: %w", err)
	}
	root := os.DirFS("/")
	var suites []suite
	for _, file := range files {
		s, err := readSuite(root, strings.TrimPrefix(file, "/"))
		if err != nil {
			return nil, nil, fmt.Errorf("reading suites: %s: %w", shown(dir, absolute, file), err)
		}
		if s.Suite != nil {
			s.InputPath = shown(dir, absolute, file)
			suites = append(suites, s)
		}
	}
	if len(suites) == 0 {
		return nil, nil, noSuites(target, recursive)
	}
	return root, suites, nil
}

func suiteFiles(target string, recursive bool) ([]string, error) {
	info, err := os.Stat(target)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir() && recursive:
		return nil, fmt.Errorf("%s is not a directory", target)
	case !info.IsDir():
		return []string{target}, nil
	}
	files, err := manifestsBelow(target)
	return slices.DeleteFunc(files, func(f string) bool {
		return filepath.Ext(f) == ".json" || !recursive && filepath.Dir(f) != target
	}), err
}

// readSuite reads a file; the Suite is nil when it holds something else.
func readSuite(root fs.FS, file string) (suite, error) {
	b, err := fs.ReadFile(root, file)
	if err != nil || !bytes.Contains(b, []byte(verify.Group)) {
		return suite{}, err
	}
	found, err := verify.ReadSuites(root, file, file, false)
	if err != nil || len(found) == 0 {
		return suite{}, err
	}
	reports, err := readReportsFields(b)
	return suite{Suite: found[0], reports: reports}, err
}

// noSuites is an error here: gator passes when it finds nothing to run.
func noSuites(target string, recursive bool) error {
	if recursive {
		return fmt.Errorf("no Suite below %s", target)
	}
	return fmt.Errorf("no Suite in %s; %s/... looks below it as well", target, strings.TrimRight(target, "/"))
}

// shown is the suite's path in the terms of the user's.
func shown(dir, absolute, file string) string {
	rel, err := filepath.Rel(absolute, file)
	if err != nil {
		return file
	}
	return filepath.Join(dir, rel)
}

func readReportsFields(b []byte) ([][]string, error) {
	var content suiteFields
	if err := strict.YAML(b, &content); err != nil {
		return nil, fmt.Errorf("reading the suite: %w", err)
	}
	out := make([][]string, len(content.Tests))
	for i, t := range content.Tests {
		for j, raw := range t.Cases {
			if bytes.Equal(raw, []byte("null")) {
				return nil, fmt.Errorf("test %v: case %d is empty", t.Name, j+1)
			}
			var c suiteCase
			if err := strict.JSON(raw, &c); err != nil {
				return nil, fmt.Errorf("test %v: case %d: %w", t.Name, j+1, err)
			}
			if path.IsAbs(c.Reports) {
				return nil, fmt.Errorf("test %v: case %d: field reports: give a path relative to the suite", t.Name, j+1)
			}
			out[i] = append(out[i], c.Reports)
		}
	}
	return out, nil
}

// reportsFile is the path of a case's reports file in the root file system.
func (s suite) reportsFile(test, c int) (string, error) {
	name := s.reports[test][c]
	if name == "" {
		return "", nil
	}
	file := path.Join(path.Dir(s.AbsolutePath), name)
	if !fs.ValidPath(file) {
		return "", errors.New("field reports: the path leaves the file system")
	}
	return file, nil
}
