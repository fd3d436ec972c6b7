package imagescan

import (
	"sync"

	"github.com/anchore/grype/grype/search"
	"github.com/anchore/grype/grype/vulnerability"
	"github.com/anchore/syft/syft/cpe"
)

// witness remembers that the database failed. Matchers log such an error and go
// on with the next package, so that a broken database looks like a clean image.
type witness struct {
	vulnerability.Provider
	mu    sync.Mutex
	first error
}

// FindVulnerabilities asks the database.
func (w *witness) FindVulnerabilities(criteria ...vulnerability.Criteria) ([]vulnerability.Vulnerability, error) {
	found, err := w.Provider.FindVulnerabilities(criteria...)
	if err != nil && !senseless(criteria) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.first == nil {
			w.first = err
		}
	}
	return found, err
}

func (w *witness) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}

// senseless says that a question is refused before the database is asked: a list
// of packages inside an image may name a product of any name.
func senseless(criteria []vulnerability.Criteria) bool {
	for _, c := range criteria {
		if by, ok := c.(*search.CPECriteria); ok && by.CPE.Attributes.Product == cpe.Any {
			return true
		}
	}
	return false
}
