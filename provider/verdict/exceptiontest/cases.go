// Package exceptiontest is what exceptions mean, as a table: the provider's file and
// an ImageVulnerabilities Constraint are both held against it.
package exceptiontest

import (
	_ "embed"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// What becomes of a finding under an exception.
const (
	// Excepted findings do not count.
	Excepted = "excepted"
	// Counts is said of findings that the exception is not about.
	Counts = "counts"
	// Refused exceptions are mistakes.
	Refused = "refused"
)

// Case is one exception, one image and one finding in it.
type Case struct {
	Name      string         `json:"name"`
	Exception map[string]any `json:"exception"`
	// Image is what the Pod has.
	Image string `json:"image"`
	// Written is what its author wrote, as far as the provider vouches for it.
	Written   string   `json:"written"`
	Namespace string   `json:"namespace"`
	ID        string   `json:"id"`
	Aliases   []string `json:"aliases"`
	Package   string   `json:"package"`
	// Fixed and FixAvailable are of the finding, as is Exploited; Known says that the
	// scan knows which findings are.
	Fixed        string    `json:"fixed"`
	FixAvailable time.Time `json:"fixAvailable"`
	Exploited    bool      `json:"exploited"`
	Known        bool      `json:"known"`
	Now          time.Time `json:"now"`
	Want         string    `json:"want"`
}

// Index and Manifest are the digests of the image that is judged.
const (
	Index    = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	Manifest = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
)

//go:embed cases.yaml
var table []byte

// Cases returns the table, with what a case leaves out filled in.
func Cases(t testing.TB) []Case {
	t.Helper()
	var file struct {
		Defaults Case   `json:"defaults"`
		Cases    []Case `json:"cases"`
	}
	if err := yaml.UnmarshalStrict(table, &file); err != nil || len(file.Cases) == 0 {
		t.Fatal(err)
	}
	for i := range file.Cases {
		c, d := &file.Cases[i], file.Defaults
		exception := map[string]any{}
		for _, given := range []map[string]any{d.Exception, c.Exception} {
			for key, value := range given {
				exception[key] = value
			}
		}
		for key, value := range exception {
			if value == "absent" {
				delete(exception, key)
			}
		}
		c.Exception = exception
		for at, otherwise := range map[*string]string{&c.Image: d.Image, &c.Namespace: d.Namespace, &c.ID: d.ID, &c.Package: d.Package} {
			if *at == "" {
				*at = otherwise
			}
		}
		if c.Now.IsZero() {
			c.Now = d.Now
		}
	}
	return file.Cases
}
