package verdict_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/verdict"
)

// document is an OpenVEX document with the given statements.
func document(id string, version int, timestamp string, statements ...string) string {
	return fmt.Sprintf(`{"@context": "https://openvex.dev/ns/v0.2.0", "@id": %q, "author": "Acme Security", "timestamp": %q, "version": %d, "statements": [%s]}`,
		id, timestamp, version, strings.Join(statements, ","))
}

// said is a statement; products is the content of its list, rest more fields.
func said(status, products, rest string) string {
	switch status {
	case "not_affected":
		rest += `, "justification": "component_not_present"`
	case "affected":
		rest += `, "action_statement": "update"`
	}
	return fmt.Sprintf(`{"vulnerability": {"name": "CVE-1", "aliases": ["GHSA-1"]}, "products": [%s], "status": %q%s}`, products, status, rest)
}

func withVEX(t *testing.T, documents ...string) *verdict.Judge {
	t.Helper()
	files := make([]string, len(documents))
	for i, d := range documents {
		files[i] = write(t, "vex.json", d)
	}
	return newJudge(t, verdict.Options{Threshold: report.SeverityHigh, VEXFiles: files})
}

const (
	earlier = "2026-01-01T00:00:00Z"
	later   = "2026-02-01T00:00:00Z"
	image   = `{"@id": "pkg:oci/web@` + manifest + `"}`
)

func TestVEXProducts(t *testing.T) {
	hex := strings.TrimPrefix(manifest, "sha256:")
	for name, tc := range map[string]struct {
		products string
		want     bool
	}{
		"manifest":                 {image, true},
		"index":                    {`{"@id": "pkg:oci/web@` + index + `"}`, true},
		"escaped":                  {`{"@id": "pkg:oci/web@` + strings.Replace(manifest, ":", "%3A", 1) + `"}`, true},
		"in the identifiers":       {`{"@id": "https://acme.example/web", "identifiers": {"purl": "pkg:oci/web@` + manifest + `"}}`, true},
		"second of two":            {`{"@id": "pkg:oci/web@` + other + `"}, ` + image, true},
		"repository":               {`{"@id": "pkg:oci/web@` + index + `?repository_url=ghcr.io/acme/web"}`, true},
		"repository, escaped":      {`{"@id": "pkg:oci/web@` + index + `?repository_url=ghcr.io%2Facme%2Fweb&tag=1.2"}`, true},
		"repository without name":  {`{"@id": "pkg:oci/web@` + index + `?repository_url=ghcr.io/acme"}`, true},
		"hash of the manifest":     {`{"hashes": {"sha-256": "` + hex + `"}}`, true},
		"hash in capitals":         {`{"hashes": {"sha-256": "` + strings.ToUpper(hex) + `"}}`, true},
		"platform of the manifest": {`{"@id": "pkg:oci/web@` + manifest + `?arch=arm64"}`, true},
		"platform of the index":    {`{"@id": "pkg:oci/web@` + index + `?arch=arm64"}`, false},
		"another digest":           {`{"@id": "pkg:oci/web@` + other + `"}`, false},
		"another name":             {`{"@id": "pkg:oci/web2@` + manifest + `"}`, false},
		"another repository":       {`{"@id": "pkg:oci/web@` + manifest + `?repository_url=ghcr.io/evil/web"}`, false},
		"name only":                {`{"@id": "pkg:oci/web"}`, false},
		"name and repository only": {`{"@id": "pkg:oci/web?repository_url=ghcr.io/acme/web"}`, false},
		"a tag for a version":      {`{"@id": "pkg:oci/web@1.2"}`, false},
		"another type":             {`{"@id": "pkg:docker/web@` + manifest + `"}`, false},
		"a namespace":              {`{"@id": "pkg:oci/acme/web@` + manifest + `"}`, false},
		"a package":                {`{"@id": "pkg:generic/pkg@1.0"}`, false},
		"another hash":             {`{"hashes": {"sha-256": "` + strings.TrimPrefix(other, "sha256:") + `"}}`, false},
		"another algorithm":        {`{"hashes": {"sha-512": "` + hex + `"}}`, false},
		"an IRI":                   {`{"@id": "https://acme.example/web"}`, false},
		"nothing":                  {`{}`, false},
		"none":                     {``, false},
	} {
		t.Run(name, func(t *testing.T) {
			j := withVEX(t, document("d", 1, earlier, said("not_affected", tc.products, "")))
			got := j.Judge(scanOf(finding("CVE-1", report.SeverityHigh, "")), subject())
			if (got.Status == report.Accepted) != tc.want {
				t.Errorf("%s %q, want acceptance: %t", got.Status, got.Message, tc.want)
			}
		})
	}
}

func TestVEXSubcomponents(t *testing.T) {
	f := func(purl, pkg, installed string) report.Vulnerability {
		return report.Vulnerability{ID: "CVE-1", Severity: report.SeverityHigh, PURL: purl, Package: pkg, Installed: installed}
	}
	text := f("pkg:golang/golang.org/x/text@v0.3.5", "golang.org/x/text", "v0.3.5")
	bare := f("", "golang.org/x/text", "v0.3.5")
	for name, tc := range map[string]struct {
		subcomponents string
		finding       report.Vulnerability
		want          bool
	}{
		"same":                       {`{"@id": "pkg:golang/golang.org/x/text@v0.3.5"}`, text, true},
		"every version":              {`{"@id": "pkg:golang/golang.org/x/text"}`, text, true},
		"another version":            {`{"@id": "pkg:golang/golang.org/x/text@v0.3.6"}`, text, false},
		"another package":            {`{"@id": "pkg:golang/golang.org/x/net@v0.3.5"}`, text, false},
		"another type":               {`{"@id": "pkg:npm/golang.org/x/text@v0.3.5"}`, text, false},
		"one of two":                 {`{"@id": "pkg:golang/golang.org/x/net"}, {"@id": "pkg:golang/golang.org/x/text"}`, text, true},
		"in the identifiers":         {`{"identifiers": {"purl": "pkg:golang/golang.org/x/text"}}`, text, true},
		"qualifiers":                 {`{"@id": "pkg:deb/debian/zlib1g@1.2?arch=amd64"}`, f("pkg:deb/debian/zlib1g@1.2?arch=amd64&distro=debian-12", "zlib1g", "1.2"), true},
		"other qualifiers":           {`{"@id": "pkg:deb/debian/zlib1g@1.2?arch=arm64"}`, f("pkg:deb/debian/zlib1g@1.2?arch=amd64", "zlib1g", "1.2"), false},
		"a path in it":               {`{"@id": "pkg:golang/golang.org/x/text@v0.3.5#unicode"}`, text, false},
		"an IRI":                     {`{"@id": "https://acme.example/text"}`, text, false},
		"no PURL":                    {`{"@id": "pkg:golang/golang.org/x/text@v0.3.5"}`, bare, true},
		"no PURL, every version":     {`{"@id": "pkg:golang/golang.org/x/text"}`, bare, false},
		"no PURL, another version":   {`{"@id": "pkg:golang/golang.org/x/text@v0.3.6"}`, bare, false},
		"no PURL, last part only":    {`{"@id": "pkg:golang/text@v0.3.5"}`, bare, false},
		"no PURL, distribution":      {`{"@id": "pkg:deb/debian/zlib1g@1.2"}`, f("", "zlib1g", "1.2"), true},
		"no PURL, qualifiers":        {`{"@id": "pkg:deb/debian/zlib1g@1.2?arch=amd64"}`, f("", "zlib1g", "1.2"), false},
		"no PURL, maven":             {`{"@id": "pkg:maven/org.acme/core@1"}`, f("", "org.acme:core", "1"), true},
		"no PURL, scope":             {`{"@id": "pkg:npm/%40acme/core@1"}`, f("", "@acme/core", "1"), true},
		"no PURL, no version at all": {`{"@id": "pkg:npm/core"}`, f("", "core", ""), false},
		"a broken PURL":              {`{"@id": "pkg:npm/core@1"}`, f("pkg:", "core", "1"), true},
	} {
		t.Run(name, func(t *testing.T) {
			product := `{"@id": "pkg:oci/web@` + manifest + `", "subcomponents": [` + tc.subcomponents + `]}`
			j := withVEX(t, document("d", 1, earlier, said("not_affected", product, "")))
			got := j.Judge(scanOf(tc.finding), subject())
			if (got.Status == report.Accepted) != tc.want {
				t.Errorf("%s %q, want acceptance: %t", got.Status, got.Message, tc.want)
			}
		})
	}
}

func TestTheLatestStatementHolds(t *testing.T) {
	one := func(status, products, timestamp string) string {
		return document(status+timestamp, 1, timestamp, said(status, products, ""))
	}
	const anyBuild = `{"@id": "pkg:oci/web?repository_url=ghcr.io/acme/web"}`
	inPackage := func(purl string) string {
		return `{"@id": "pkg:oci/web@` + manifest + `", "subcomponents": [{"@id": "` + purl + `"}]}`
	}
	for name, tc := range map[string]struct {
		documents []string
		want      expect
	}{
		"not affected":                         {[]string{one("not_affected", image, earlier)}, expect{report.Accepted, "no finding of severity High or worse (0 below, 1 suppressed: CVE-1 by VEX not_affected: component_not_present (Acme Security, 2026-01-01))"}},
		"fixed":                                {[]string{one("fixed", image, earlier)}, expect{report.Accepted, "no finding of severity High or worse (0 below, 1 suppressed: CVE-1 by VEX fixed (Acme Security, 2026-01-01))"}},
		"affected":                             {[]string{one("affected", image, earlier)}, expect{report.Rejected, "CVE-1"}},
		"under investigation":                  {[]string{one("under_investigation", image, earlier)}, expect{report.Rejected, "CVE-1"}},
		"later affected":                       {[]string{one("affected", image, later), one("not_affected", image, earlier)}, expect{report.Rejected, "CVE-1"}},
		"later under investigation":            {[]string{one("not_affected", image, earlier), one("under_investigation", image, later)}, expect{report.Rejected, "CVE-1"}},
		"later not affected":                   {[]string{one("not_affected", image, later), one("affected", image, earlier)}, expect{report.Accepted, ""}},
		"of the same time":                     {[]string{one("not_affected", image, later), one("affected", image, later)}, expect{report.Rejected, "CVE-1"}},
		"of the same time, other order":        {[]string{one("affected", image, later), one("not_affected", image, later)}, expect{report.Rejected, "CVE-1"}},
		"later, of every build":                {[]string{one("not_affected", image, earlier), one("affected", anyBuild, later)}, expect{report.Rejected, "CVE-1"}},
		"later, of another image":              {[]string{one("not_affected", image, earlier), one("affected", `{"@id": "pkg:oci/other"}`, later)}, expect{report.Accepted, ""}},
		"later, of another package":            {[]string{one("not_affected", image, earlier), one("affected", inPackage("pkg:npm/other"), later)}, expect{report.Accepted, ""}},
		"later, perhaps of this package":       {[]string{one("not_affected", image, earlier), one("affected", inPackage("pkg:npm/pkg?a=b"), later)}, expect{report.Rejected, "CVE-1"}},
		"later, of who knows which package":    {[]string{one("not_affected", image, earlier), one("affected", inPackage("https://acme.example/p"), later)}, expect{report.Rejected, "CVE-1"}},
		"a statement's own time":               {[]string{document("a", 1, earlier, said("affected", image, `, "timestamp": "`+later+`"`)), one("not_affected", image, "2026-01-15T00:00:00Z")}, expect{report.Rejected, "CVE-1"}},
		"in one document":                      {[]string{document("a", 1, earlier, said("not_affected", image, `, "timestamp": "`+later+`"`), said("under_investigation", image, ""))}, expect{report.Accepted, ""}},
		"a later version takes it back":        {[]string{document("a", 1, earlier, said("not_affected", image, "")), document("a", 2, later)}, expect{report.Rejected, "CVE-1"}},
		"a later version, read first, as well": {[]string{document("a", 2, later), document("a", 1, earlier, said("not_affected", image, ""))}, expect{report.Rejected, "CVE-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := withVEX(t, tc.documents...).Judge(scanOf(finding("CVE-1", report.SeverityHigh, "")), subject())
			tc.want.check(t, got)
		})
	}
}

func TestAttachedVEX(t *testing.T) {
	one := func(status, timestamp string) string {
		return document(status+timestamp, 1, timestamp, said(status, image, ""))
	}
	const another = `{"@id": "pkg:oci/web@` + other + `"}`
	for name, tc := range map[string]struct {
		attached, configured []string
		want                 report.Status
	}{
		"not affected":                     {[]string{one("not_affected", earlier)}, nil, report.Accepted},
		"of another image":                 {[]string{document("a", 1, earlier, said("not_affected", another, ""))}, nil, report.Rejected},
		"later affected, attached":         {[]string{one("not_affected", earlier), one("affected", later)}, nil, report.Rejected},
		"later affected, configured":       {[]string{one("not_affected", earlier)}, []string{one("affected", later)}, report.Rejected},
		"later not affected, attached":     {[]string{one("not_affected", later)}, []string{one("affected", earlier)}, report.Accepted},
		"a later version takes it back":    {[]string{document("a", 2, later), document("a", 1, earlier, said("not_affected", image, ""))}, nil, report.Rejected},
		"broken":                           {[]string{"{"}, nil, report.Rejected},
		"broken beside one that is not":    {[]string{"{", one("not_affected", earlier)}, nil, report.Rejected},
		"broken, with a configured one":    {[]string{"{"}, []string{one("not_affected", earlier)}, report.Accepted},
		"nothing attached, one configured": {nil, []string{one("not_affected", earlier)}, report.Accepted},
	} {
		t.Run(name, func(t *testing.T) {
			j := withVEX(t, tc.configured...)
			scan := scanOf(finding("CVE-1", report.SeverityHigh, ""))
			for _, d := range tc.attached {
				scan.VEX = append(scan.VEX, json.RawMessage(d))
			}
			for range 2 { // read, then remembered
				if got := j.Judge(scan, subject()); got.Status != tc.want {
					t.Errorf("%s %q, want %s", got.Status, got.Message, tc.want)
				}
			}
		})
	}
}

func TestVEXNames(t *testing.T) {
	j := withVEX(t, document("d", 1, earlier, said("not_affected", image, "")))
	for id, tc := range map[string]struct {
		aliases []string
		want    bool
	}{
		"CVE-1":   {nil, true},
		"GHSA-1":  {nil, true},
		"GHSA-2":  {[]string{"CVE-1"}, true},
		"CVE-2":   {nil, false},
		"ALAS-1":  {[]string{"CVE-1", "CVE-2"}, false},
		"GHSA-10": {[]string{""}, false},
	} {
		v := finding(id, report.SeverityHigh, "")
		v.Aliases = tc.aliases
		if got := j.Judge(scanOf(v), subject()); (got.Status == report.Accepted) != tc.want {
			t.Errorf("%s (%v): %s %q, want acceptance: %t", id, tc.aliases, got.Status, got.Message, tc.want)
		}
	}
}

func TestAnExceptionHoldsWhateverVEXSays(t *testing.T) {
	j := newJudge(t, verdict.Options{
		Threshold:      report.SeverityHigh,
		ExceptionsFile: write(t, "exceptions.yaml", `[{cve: CVE-1, images: [ghcr.io/acme/], expires: 2027-01-01, reason: r}]`),
		VEXFiles:       []string{write(t, "vex.json", document("d", 1, later, said("affected", image, "")))},
	})
	got := j.Judge(scanOf(finding("CVE-1", report.SeverityHigh, "")), subject())
	expect{report.Accepted, "no finding of severity High or worse (0 below, 1 suppressed: CVE-1 by exception"}.check(t, got)
}

func TestWrongVEXIsNamed(t *testing.T) {
	for name, tc := range map[string]struct{ file, want string }{
		"empty":               {"", "unexpected end of JSON"},
		"no document":         {"{}", "@context"},
		"an array":            {"[]", "must be an object"},
		"no list of products": {`{"@context": "https://openvex.dev/ns/v0.2.0", "statements": [{"products": "a"}]}`, "statements.products: must be a list"},
		"CSAF":                {`{"document": {"csaf_version": "2.0"}}`, "@context"},
		"an earlier draft":    {`{"@context": "https://openvex.dev/ns"}`, "@context"},
		"no id":               {document("", 1, earlier), "@id: missing"},
		"no version":          {document("d", 0, earlier), "version: missing"},
		"no timestamp":        {`{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "d", "author": "a", "version": 1}`, "timestamp: missing"},
		"no author":           {`{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "d", "version": 1}`, "author: missing"},
		"odd timestamp":       {document("d", 1, "yesterday"), "yesterday"},
		"status":              {document("d", 1, earlier, said("fine", image, "")), `statement 1 (CVE-1): invalid status value "fine"`},
		"no justification":    {document("d", 1, earlier, `{"vulnerability": {"name": "CVE-1"}, "status": "not_affected"}`), "either justification or impact statement"},
		"no vulnerability":    {document("d", 1, earlier, `{"status": "fixed"}`), "statement 1 (unnamed): vulnerability.name: missing"},
		"from the future":     {document("d", 1, "2027-01-01T00:00:00Z", said("fixed", image, "")), "is in the future"},
		"broken product":      {document("d", 1, earlier, said("fixed", image+`, {"@id": "pkg:"}`, "")), "products[1]: package URL"},
		"broken subproduct":   {document("d", 1, earlier, said("fixed", `{"@id": "x", "subcomponents": [{"@id": "pkg:x"}]}`, "")), "products[0]: subcomponents[0]: package URL"},
		"second one is named": {document("d", 1, earlier, said("fixed", image, ""), said("fine", image, "")), "statement 2"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, "vex.json", tc.file)
			_, err := verdict.New(verdict.Options{VEXFiles: []string{path}, Now: today})
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v lacks %q or the path", err, tc.want)
			}
		})
	}
}

func TestOneVersionOfADocumentOnce(t *testing.T) {
	a, b := write(t, "a.json", document("d", 1, earlier)), write(t, "b.json", document("d", 1, later))
	_, err := verdict.New(verdict.Options{VEXFiles: []string{a, b}, Now: today})
	if want := b + ": is version 1 of the document d, and so is " + a; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v lacks %q", err, want)
	}
}
