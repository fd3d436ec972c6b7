package verdict

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/openvex/go-vex/pkg/vex"
	"github.com/package-url/packageurl-go"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/strict"
)

// vexContext is how the @context of a document of OpenVEX 0.2 begins. Earlier
// drafts named products differently and would match nothing.
const vexContext = vex.Context + "/v0.2."

// maxAhead is how far in the future a statement may be dated: clocks differ,
// but a statement of next year would stay the latest until then.
const maxAhead = 24 * time.Hour

// maxSaid bounds each part of what is said about a suppressed finding.
const maxSaid = 64

// statement is one OpenVEX statement with what it inherits from its document.
type statement struct {
	// names of the vulnerability in the form of identifier.
	names    []string
	status   vex.Status
	at       time.Time
	products []product
	// by is what is said of the findings that it suppresses.
	by string
	// where names file and statement for the log.
	where string
}

// suppresses reports whether the statement sets findings aside, as opposed to
// one that lets them stand (affected, under_investigation).
func (s *statement) suppresses() bool {
	return s.status == vex.StatusNotAffected || s.status == vex.StatusFixed
}

// product is what a statement is about: an image, or packages in an image.
type product struct {
	purls []packageurl.PackageURL
	// digests are sha256:... from the hashes.
	digests       []string
	subcomponents []subcomponent
}

// subcomponent is a package in an image; without purls nothing can be compared.
type subcomponent struct {
	purls []string
}

// parseVEX reads the documents in files, whose contents come in the same
// order. Its error lists the mistakes of all documents.
func parseVEX(files []string, contents [][]byte, now time.Time) (*statements, error) {
	documents, err := latestDocuments(files, contents)
	errs := []error{err}
	out := &statements{byName: map[string][]*statement{}}
	for _, d := range documents {
		for i := range d.Statements {
			in := &d.Statements[i]
			where := fmt.Sprintf("%s: statement %d (%s)", d.file, i+1, shown(string(in.Vulnerability.Name)))
			s, err := newStatement(d.VEX, in, now)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", where, err))
				continue
			}
			s.where = where
			out.add(s)
		}
	}
	return out, errors.Join(errs...)
}

type document struct {
	*vex.VEX
	file string
}

// latestDocuments leaves out what a later version of the same document
// replaces: a statement that is gone from it must not live on.
func latestDocuments(files []string, contents [][]byte) ([]document, error) {
	var errs []error
	var out []document
	for i, b := range contents {
		d, err := vex.Parse(b)
		if err == nil {
			err = checkDocument(d)
		} else {
			err = strict.TypeError(err)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", files[i], err))
			continue
		}
		next := document{VEX: d, file: files[i]}
		at := slices.IndexFunc(out, func(o document) bool { return o.ID == d.ID })
		switch {
		case at < 0:
			out = append(out, next)
		case out[at].Version == d.Version:
			errs = append(errs, fmt.Errorf("%s: is version %d of the document %s, and so is %s", next.file, d.Version, d.ID, out[at].file))
		case out[at].Version < d.Version:
			out[at] = next
		}
	}
	return out, errors.Join(errs...)
}

func checkDocument(d *vex.VEX) error {
	switch {
	case !strings.HasPrefix(d.Context, vexContext):
		return fmt.Errorf("@context: %q is not that of an OpenVEX 0.2 document (%s0)", d.Context, vexContext)
	case d.ID == "":
		return errors.New("@id: missing")
	case d.Author == "":
		return errors.New("author: missing")
	case d.Timestamp == nil || d.Timestamp.IsZero():
		return errors.New("timestamp: missing")
	case d.Version < 1:
		return errors.New("version: missing, or below 1")
	}
	return nil
}

func newStatement(d *vex.VEX, in *vex.Statement, now time.Time) (*statement, error) {
	if err := in.Validate(); err != nil {
		return nil, err
	}
	if in.Vulnerability.Name == "" {
		return nil, errors.New("vulnerability.name: missing")
	}
	s := &statement{status: in.Status, at: *d.Timestamp}
	if in.Timestamp != nil && !in.Timestamp.IsZero() {
		s.at = *in.Timestamp
	}
	if s.at.Sub(now) > maxAhead {
		return nil, fmt.Errorf("timestamp: %s is in the future", s.at.Format(time.RFC3339))
	}
	s.names = []string{identifier(string(in.Vulnerability.Name))}
	for _, a := range in.Vulnerability.Aliases {
		if a != "" {
			s.names = append(s.names, identifier(string(a)))
		}
	}
	for i := range in.Products {
		p, err := newProduct(&in.Products[i])
		if err != nil {
			return nil, fmt.Errorf("products[%d]: %w", i, err)
		}
		s.products = append(s.products, p)
	}
	s.by = said(d, in, s.at)
	return s, nil
}

func newProduct(in *vex.Product) (product, error) {
	var p product
	raw, err := purlsOf(&in.Component)
	if err != nil {
		return p, err
	}
	for _, s := range raw {
		// Checked by purlsOf.
		parsed, _ := packageurl.FromString(s)
		p.purls = append(p.purls, parsed)
	}
	if h, ok := in.Hashes[vex.SHA256]; ok {
		p.digests = append(p.digests, "sha256:"+strings.ToLower(string(h)))
	}
	for i := range in.Subcomponents {
		raw, err := purlsOf(&in.Subcomponents[i].Component)
		if err != nil {
			return p, fmt.Errorf("subcomponents[%d]: %w", i, err)
		}
		p.subcomponents = append(p.subcomponents, subcomponent{purls: raw})
	}
	return p, nil
}

// purlsOf returns the package URLs of a component, which may be its @id or one
// of its identifiers.
func purlsOf(c *vex.Component) ([]string, error) {
	var out []string
	if strings.HasPrefix(c.ID, "pkg:") {
		out = append(out, c.ID)
	}
	if s := c.Identifiers[vex.PURL]; s != "" && s != c.ID {
		out = append(out, s)
	}
	for _, s := range out {
		if _, err := packageurl.FromString(s); err != nil {
			return nil, fmt.Errorf("package URL %q: %w", report.Clean(s, 4*maxSaid), err)
		}
	}
	return out, nil
}

// said is the reason shown for a suppressed finding: status, justification and
// whose word it is.
func said(d *vex.VEX, s *vex.Statement, at time.Time) string {
	why := string(s.Justification)
	if why == "" {
		why = report.Clean(s.ImpactStatement, maxSaid)
	}
	if why != "" {
		why = ": " + why
	}
	return fmt.Sprintf("VEX %s%s (%s, %s)", s.Status, why, report.Clean(d.Author, maxSaid), at.UTC().Format(time.DateOnly))
}
