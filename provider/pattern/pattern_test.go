package pattern_test

import (
	"testing"

	"github.com/imagegate/imagegate/provider/pattern"
	"github.com/imagegate/imagegate/provider/pattern/patterntest"
)

func TestEveryPatternOfTheTable(t *testing.T) {
	c := patterntest.Read(t, "testdata/cases.yaml")
	for name, of := range map[string]struct {
		cases map[string]string
		wrong func(string) error
	}{
		"prefix":     {c.Prefix, pattern.Prefix},
		"namespace":  {c.Namespace, pattern.Namespace},
		"identifier": {c.Identifier, pattern.Identifier},
		"package":    {c.Package, pattern.Package},
	} {
		for s, want := range of.cases {
			got := ""
			if err := of.wrong(s); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("%s %q: %q, want %q", name, s, got, want)
			}
		}
	}
}

func TestTheClosestPatternHolds(t *testing.T) {
	for _, tc := range patterntest.Read(t, "testdata/cases.yaml").Closest {
		said := map[string]string{}
		for _, key := range tc.Keys {
			said[key] = key
		}
		if got, ok := pattern.ForNamespace(said, "dev-1"); got != tc.Is || ok != (tc.Is != "") {
			t.Errorf("%v: %q, want %q", tc.Keys, got, tc.Is)
		}
	}
}
