package platform

import (
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func parse(t *testing.T, s string) Set {
	t.Helper()
	set, err := Parse(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return set
}

func TestParse(t *testing.T) {
	for given, want := range map[string]string{
		"":                                 "",
		"linux/amd64":                      "linux/amd64",
		"Linux/AMD64":                      "linux/amd64",
		"linux/x86_64":                     "linux/amd64",
		"linux/aarch64":                    "linux/arm64",
		"linux/arm64/v8":                   "linux/arm64/v8",
		"linux/arm":                        "linux/arm",
		"linux/arm/7":                      "linux/arm/v7",
		"linux/armhf":                      "linux/arm/v7",
		"windows(10.0.20348)/amd64":        "windows(10.0.20348)/amd64",
		"windows/*":                        "windows/*",
		"*/arm64":                          "*/arm64",
		"*/arm/v6":                         "*/arm/v6",
		"*/*":                              "*/*",
		"!linux/*":                         "!linux/*",
		"!linux!windows/!amd64":            "!linux!windows/!amd64",
		"*/!x86_64":                        "*/!amd64",
		"linux/amd64,windows/*":            "linux/amd64,windows/*",
		strings.Repeat("*/*,", 31) + "*/*": strings.Repeat("*/*,", 31) + "*/*",
	} {
		set := parse(t, given)
		if set.String() != want {
			t.Errorf("%q reads as %q, want %q", given, set, want)
		}
		if again := parse(t, want); again.String() != want {
			t.Errorf("%q reads as %q the second time", want, again)
		}
	}
}

// A person's platform has names that there are; a Pod's may have any.
func TestParseWritten(t *testing.T) {
	for given, want := range map[string]string{
		"linux/amd64": "", "linux/x86_64": "", "linux/arm64/v8": "", "linux/arm/7": "", "*/!amd64": "", "!linux!windows/*": "", "": "",
		"windows(10.0.20348)/amd64": "", "freebsd/loong64": "", "linux/amd64/v3": "", "linux/ppc64le/power9": "",
		"linux/amd46":         `platform "linux/amd46": no architecture is called amd46: did you mean amd64?`,
		"windows/*,linux/x64": `platform "linux/x64": no architecture is called x64; nodes are 386, amd64, arm, arm64, loong64, ppc64le, riscv64, s390x`,
		"*/!amd46":            "no architecture is called amd46",
		"amd64/linux":         "no operating system is called amd64; nodes are linux, windows",
		"lniux/amd64":         "no operating system is called lniux: did you mean linux?",
		"linux/linux":         "no architecture is called linux",
		"linux/arm/v9":        "arm has no variant v9",
		"linux/amd64/v8":      "amd64 has no variant v8",
		"linux/arm64/v7":      "arm64 has no variant v7",
		"linux":               "want os/arch",
	} {
		_, err := ParseWritten(given)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", given, err, want)
		}
		if _, parsed := Parse(given); (parsed == nil) != (given != "linux") {
			t.Errorf("%q of a Pod: %v", given, parsed)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for given, word := range map[string]string{
		"linux":                     "want os/arch",
		"amd64":                     "want os/arch",
		"a/b/c/d":                   "want os/arch",
		"/amd64":                    "want os/arch",
		"linux/":                    "want os/arch",
		"linux/amd64/":              "want os/arch",
		"linux/*/v7":                "want os/arch",
		"li*/amd64":                 "want os/arch",
		"!/amd64":                   "want os/arch",
		"!linux!/amd64":             "want os/arch",
		"linux!windows/amd64":       "want os/arch",
		"linux/am d64":              "want os/arch",
		"linux/amd64,":              `platform ""`,
		"linux/amd64,x":             `platform "x"`,
		strings.Repeat("*/*,", 32):  "more than 32",
		strings.Repeat("*/*,", 999): "more than 32",
	} {
		if set, err := Parse(given); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q reads as %v, %v; want %q", given, set, err, word)
		}
	}
}

// What is known narrows what is in use; where they have nothing in common, what
// is known counts.
func TestWithin(t *testing.T) {
	for _, tc := range []struct{ known, inUse, want string }{
		{"", "linux/amd64,linux/arm64", "linux/amd64,linux/arm64"},
		{"*/*", "linux/amd64,linux/arm64", "linux/amd64,linux/arm64"},
		{"linux/*", "linux/amd64,linux/arm64", "linux/amd64,linux/arm64"},
		{"windows/*", "linux/amd64,linux/arm64", "windows/*"},
		{"windows/*", "linux/amd64,windows/amd64", "windows/amd64"},
		{"*/arm64", "linux/amd64,linux/arm64", "linux/arm64"},
		{"*/s390x", "linux/amd64,linux/arm64", "*/s390x"},
		{"*/amd64,*/arm64", "linux/amd64", "linux/amd64,*/arm64"},
		{"linux/s390x", "linux/amd64", "linux/s390x"},
		{"linux/amd64", "linux/arm64", "linux/amd64"},
		{"*/!amd64", "linux/amd64,linux/arm64", "linux/arm64"},
		{"*/!amd64!arm64", "linux/amd64,linux/arm64", "*/!amd64!arm64"},
		{"!linux/*", "linux/amd64,linux/arm64", "!linux/*"},
		{"linux/!amd64", "*/!arm64", "linux/!amd64!arm64"},
		{"*/*,windows/*", "linux/amd64", "linux/amd64,windows/*"},
		{"*/*,linux/*", "linux/amd64", "linux/amd64"},
		{"*/arm", "linux/arm/v7", "linux/arm/v7"},
		{"linux/arm", "linux/arm/v7", "linux/arm"},
		{"windows/*", "windows(10.0.20348)/amd64", "windows(10.0.20348)/amd64"},
		{"*/arm/v6", "linux/arm/v7", "*/arm/v6"},
		{"*/arm/v6", "linux/arm", "linux/arm/v6"},
	} {
		if got := parse(t, tc.known).Within(parse(t, tc.inUse)).String(); got != tc.want {
			t.Errorf("%q within %q is %q, want %q", tc.known, tc.inUse, got, tc.want)
		}
	}
}

func TestTakes(t *testing.T) {
	for _, tc := range []struct{ pattern, index, want string }{
		{"linux/amd64", "linux/amd64 windows/amd64 linux/386", "linux/amd64"},
		{"linux/amd64", "linux/386 linux/arm64", "linux/386"},
		{"linux/amd64", "linux/amd64 linux/amd64/v3", "linux/amd64 linux/amd64/v3"},
		{"linux/amd64/v2", "linux/amd64 linux/amd64/v3", "linux/amd64"},
		{"linux/arm64", "linux/arm64/v8 linux/arm/v7", "linux/arm64/v8"},
		{"linux/arm64", "linux/arm/v7 linux/arm/v6", "linux/arm/v7"},
		{"linux/arm", "linux/arm/v5 linux/arm/v6 linux/arm/v7 linux/arm64", "linux/arm/v5 linux/arm/v6 linux/arm/v7"},
		{"linux/arm", "linux/arm linux/arm/v6", "linux/arm linux/arm/v6"},
		{"linux/arm/v7", "linux/arm/v5 linux/arm/v6", "linux/arm/v6"},
		{"windows/*", "linux/amd64 windows/amd64 windows/arm64", "windows/amd64 windows/arm64"},
		{"*/amd64", "linux/amd64 windows/amd64 linux/arm64", "linux/amd64 windows/amd64"},
		{"*/amd64", "linux/386 windows/amd64", "linux/386 windows/amd64"},
		{"*/*", "linux/amd64 windows/amd64", "linux/amd64 windows/amd64"},
		{"!linux/*", "linux/amd64 windows/amd64 freebsd/amd64", "windows/amd64 freebsd/amd64"},
		{"*/!amd64", "linux/amd64 linux/arm64 linux/s390x", "linux/arm64 linux/s390x"},
		{"*/!386", "linux/386 linux/amd64", "linux/386 linux/amd64"},
		{"*/!386!amd64", "linux/386 linux/arm64", "linux/arm64"},
		{"*/!arm", "linux/arm/v7 linux/amd64", "linux/arm/v7 linux/amd64"},
		{"linux/s390x", "linux/amd64", ""},
		{"*/sparc", "linux/amd64", ""},
	} {
		p := parse(t, tc.pattern)[0]
		var all []ocispec.Platform
		for word := range strings.FieldsSeq(tc.index) {
			parts := append(strings.Split(word, "/"), "")
			all = append(all, ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]})
		}
		var got []string
		for i, word := range strings.Fields(tc.index) {
			if p.Takes(all[i], all) {
				got = append(got, word)
			}
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s takes %q of %q, want %q", tc.pattern, s, tc.index, tc.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	for given, want := range map[string]string{
		"linux/amd64": "linux/amd64",
		"windows/*":   "any windows platform",
		"*/s390x":     "any operating system on s390x",
		"*/*":         "any platform",
		"!linux/*":    "!linux/*",
	} {
		if got := parse(t, given)[0].Describe(); got != want {
			t.Errorf("%s is described as %q, want %q", given, got, want)
		}
	}
}
