package verdict_test

import (
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/verdict"
)

// What is written is what the file may have, and what it may not have is not written.
func TestWrittenExceptionsAreSome(t *testing.T) {
	good := verdict.Entry{CVE: "CVE-2026-1", Images: []string{"r.example/shop"}, Expires: "2026-12-31", Reason: "not: {reached}"}
	b, err := verdict.WriteExceptions([]verdict.Entry{good})
	if want := "- cve: CVE-2026-1\n  expires: \"2026-12-31\"\n  images:\n  - r.example/shop\n  reason: 'not: {reached}'\n"; err != nil || string(b) != want {
		t.Errorf("%v, %s", err, b)
	}
	for field, change := range map[string]func(*verdict.Entry){
		"cve":        func(e *verdict.Entry) { e.CVE = "CVE-2021-*" },
		"images":     func(e *verdict.Entry) { e.Images = []string{"https://r.example/shop"} },
		"namespaces": func(e *verdict.Entry) { e.Namespaces = []string{"No Such"} },
		"packages":   func(e *verdict.Entry) { e.Packages = []string{""} },
		"expires":    func(e *verdict.Entry) { e.Expires = "soon" },
		"reason":     func(e *verdict.Entry) { e.Reason = " " },
	} {
		e := good
		change(&e)
		if b, err := verdict.WriteExceptions([]verdict.Entry{e}); err == nil || b != nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, %s", field, err, b)
		}
	}
	if _, err := verdict.WriteExceptions(nil); err == nil {
		t.Error("no exception is a file")
	}
}
