package predicate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/openvex/go-vex/pkg/vex"

	"github.com/imagegate/imagegate/provider/backend/attached/predicate"
)

const cyclonedx = "https://cyclonedx.org/bom/v1.6"

func bom(vulnerabilities string) string {
	return `{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:1","version":3,
		"metadata":{"timestamp":"2026-11-01T10:00:00Z","component":{"bom-ref":"root","purl":"pkg:oci/app"}},
		"components":[{"bom-ref":"a","purl":"pkg:npm/a@1","components":[{"bom-ref":"b","purl":"pkg:npm/b@2"}]},{"bom-ref":"bare"},
			{"bom-ref":"twice","purl":"pkg:npm/x@1"},{"bom-ref":"twice","purl":"pkg:npm/y@1"}],
		"vulnerabilities":[` + vulnerabilities + `]}`
}

func analysed(state, affects string) string {
	return fmt.Sprintf(`{"id":"CVE-1","analysis":{"state":%q,"justification":"code_not_reachable","detail":"unused"},"affects":[%s]}`, state, affects)
}

func readVEX(predicateType, body string) (json.RawMessage, error) {
	return predicate.ReadVEX(&predicate.Statement{PredicateType: predicateType, Predicate: json.RawMessage(body)}, "sha256:ab")
}

func TestCycloneDXBecomesOpenVEX(t *testing.T) {
	for name, c := range map[string]struct{ vulnerability, want string }{
		"not affected":          {analysed("not_affected", `{"ref":"a"}`), "not_affected vulnerable_code_not_in_execute_path [pkg:npm/a@1]"},
		"false positive":        {analysed("false_positive", `{"ref":"b"}`), "not_affected vulnerable_code_not_in_execute_path [pkg:npm/b@2]"},
		"resolved":              {analysed("resolved", `{"ref":"a"},{"ref":"b"}`), "fixed  [pkg:npm/a@1 pkg:npm/b@2]"},
		"package URL":           {analysed("resolved", `{"ref":"pkg:npm/c@1"}`), "fixed  [pkg:npm/c@1]"},
		"BOM-Link":              {analysed("resolved", `{"ref":"urn:cdx:1/1#pkg:npm/%40c/c@1"}`), "fixed  [pkg:npm/@c/c@1]"},
		"the image":             {analysed("resolved", `{"ref":"root"}`), "fixed  []"},
		"exploitable":           {analysed("exploitable", `{"ref":"a"}`), "affected  [pkg:npm/a@1]"},
		"exploitable somewhere": {analysed("exploitable", ``), "affected  []"},
		"exploitable, unknown":  {analysed("exploitable", `{"ref":"bare"}`), "affected  [bare]"},
		"in triage":             {analysed("in_triage", `{"ref":"root"}`), "under_investigation  []"},
		"one of them known":     {analysed("resolved", `{"ref":"a"},{"ref":"bare"},{"ref":"twice"},{"ref":"x"}`), "fixed  [pkg:npm/a@1]"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := readVEX(cyclonedx, bom(c.vulnerability))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := vex.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if doc.ID == "" || doc.Author == "" || doc.Version != 3 || doc.Timestamp == nil || len(doc.Statements) != 1 {
				t.Fatalf("document is %s", raw)
			}
			s := doc.Statements[0]
			if err := s.Validate(); err != nil {
				t.Errorf("%v: %s", err, raw)
			}
			var sub []string
			for _, c := range s.Products[0].Subcomponents {
				sub = append(sub, c.ID)
			}
			if got := fmt.Sprintf("%s %s %v", s.Status, s.Justification, sub); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if s.Vulnerability.Name != "CVE-1" || s.Products[0].Hashes[vex.SHA256] != "ab" || s.Products[0].ID != "" {
				t.Errorf("statement is %s", raw)
			}
		})
	}
}

func TestWhatIsNoVEX(t *testing.T) {
	const good = `{"id":"CVE-1","analysis":{"state":"resolved"},"affects":[{"ref":"a"}]}`
	for name, c := range map[string]struct {
		body        string
		unsupported bool
	}{
		"list of packages":       {bom(``), true},
		"no analysis":            {bom(`{"id":"CVE-1","affects":[{"ref":"a"}]}`), true},
		"odd state":              {bom(analysed("fine", `{"ref":"a"}`)), true},
		"nothing affected":       {bom(analysed("not_affected", ``)), true},
		"unknown component":      {bom(analysed("not_affected", `{"ref":"bare"}`)), true},
		"ambiguous component":    {bom(analysed("not_affected", `{"ref":"twice"}`)), true},
		"some versions":          {bom(analysed("not_affected", `{"ref":"a","versions":[{"version":"1"}]}`)), true},
		"some versions of all":   {bom(analysed("not_affected", `{"ref":"root","versions":[{"version":"1"}]}`)), true},
		"empty reference":        {bom(analysed("not_affected", `{"ref":""}`)), true},
		"nameless vulnerability": {bom(strings.Replace(good, "CVE-1", "", 1)), false},
		"no time":                {strings.Replace(bom(good), "2026-11-01T10:00:00Z", "", 1), false},
		"not CycloneDX":          {`{}`, false},
		"null":                   {`null`, false},
	} {
		got, err := readVEX(cyclonedx, c.body)
		if err == nil || got != nil {
			t.Errorf("%s: read as %s", name, got)
			continue
		}
		if errors.Is(err, predicate.ErrUnsupported) != c.unsupported {
			t.Errorf("%s: error is %v; unsupported should be %v", name, err, c.unsupported)
		}
	}
	for _, other := range []string{predicate.VulnsV02, "https://openvex.dev/nsfw", "https://cyclonedx.org/bombs"} {
		if got, err := readVEX(other, `{}`); got != nil || err != nil {
			t.Errorf("%s: %s, %v", other, got, err)
		}
	}
	if got, err := readVEX("https://openvex.dev/ns/v0.2.0", `{"x": 1}`); string(got) != `{"x": 1}` || err != nil {
		t.Errorf("OpenVEX: %s, %v", got, err)
	}
}

func FuzzVEX(f *testing.F) {
	f.Add(bom(analysed("not_affected", `{"ref":"a"}`)))
	f.Add(bom(analysed("exploitable", `{"ref":"urn:cdx:1/1#pkg:npm/c"}`)))
	f.Fuzz(func(t *testing.T, body string) {
		if got, err := readVEX(cyclonedx, body); err == nil && !json.Valid(got) {
			t.Errorf("read as %s", got)
		}
	})
}
