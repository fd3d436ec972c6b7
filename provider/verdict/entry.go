package verdict

import (
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/yaml"
)

// Entry is an entry of the exceptions file, to be written. Namespaces and Packages that are
// empty mean all; Expires is a date, which it holds through, or a time in RFC 3339.
type Entry struct {
	CVE        string   `json:"cve"`
	Images     []string `json:"images"`
	Namespaces []string `json:"namespaces,omitempty"`
	Packages   []string `json:"packages,omitempty"`
	Expires    string   `json:"expires"`
	Reason     string   `json:"reason"`
}

// WriteExceptions returns entries as the exceptions file has them. Its error is what would
// be wrong with that file.
func WriteExceptions(entries []Entry) ([]byte, error) {
	if len(entries) == 0 {
		return nil, errors.New("there is no exception to write")
	}
	b, err := yaml.Marshal(entries)
	if err != nil {
		return nil, fmt.Errorf("writing exceptions: %w", err)
	}
	if _, err := parseExceptions(b); err != nil {
		return nil, err
	}
	return b, nil
}

// ProposedEnd is the end of an Entry for which nobody has said one: in two weeks.
func ProposedEnd(now time.Time) string {
	return now.UTC().AddDate(0, 0, 14).Format(time.DateOnly)
}
