package keyring_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/imagegate/imagegate/provider/registry/keyring"
)

// both reads the same entries as a config.json (a file or a Secret) and as a
// .dockercfg Secret.
func both(t *testing.T, entries string) map[string]*keyring.Config {
	t.Helper()
	modern, err := keyring.Parse([]byte(`{"auths":` + entries + `}`))
	if err != nil {
		t.Fatal(err)
	}
	legacy, err := keyring.ParseLegacy([]byte(entries))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*keyring.Config{"config.json": modern, ".dockercfg": legacy}
}

func users(t *testing.T, c *keyring.Config, image string) (string, error) {
	t.Helper()
	repo, err := name.NewRepository(image)
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.For(repo)
	var out []string
	for _, a := range list {
		out = append(out, a.Username)
	}
	return strings.Join(out, " "), err
}

// TestEverySpelling: a key, and which images the credentials under it open.
func TestEverySpelling(t *testing.T) {
	for _, tc := range []struct {
		key      string
		yes, not []string
	}{
		{"docker.io", []string{"nginx", "team/app", "docker.io/team/app", "index.docker.io/team/app"}, []string{"ghcr.io/team/app"}},
		{"index.docker.io", []string{"nginx", "docker.io/team/app"}, []string{"ghcr.io/team/app"}},
		{"https://index.docker.io", []string{"nginx", "team/app"}, []string{"ghcr.io/team/app"}},
		{"https://index.docker.io/v1/", []string{"nginx", "team/app"}, []string{"ghcr.io/team/app"}},
		{"https://index.docker.io/v2/", []string{"nginx", "team/app"}, []string{"ghcr.io/team/app"}},
		{"https://index.docker.io/v1", []string{"nginx"}, []string{"ghcr.io/team/app"}},
		{"https://docker.io/v1/", []string{"nginx"}, nil},
		{"docker.io/team", []string{"team/app"}, []string{"nginx", "other/app"}},
		{"index.docker.io/library/nginx", []string{"nginx"}, []string{"redis"}},
		{"reg.example", []string{"reg.example/a"}, []string{"reg.example:5000/a", "x.reg.example/a", "nginx"}},
		{"REG.example", []string{"reg.example/a"}, nil},
		{"https://reg.example/v2/", []string{"reg.example/a"}, nil},
		{"http://reg.example", []string{"reg.example/a"}, nil},
		{"reg.example/", []string{"reg.example/a"}, nil},
		{"reg.example:5000", []string{"reg.example:5000/a"}, []string{"reg.example/a", "reg.example:5001/a"}},
		{"*.example.com", []string{"reg.example.com/a"}, []string{"a.b.example.com/x", "example.com/a", "reg.example.com:5000/a"}},
		{"*.*.example.com", []string{"a.b.example.com/x"}, []string{"b.example.com/x"}},
		{"*.example.com:5000/team", []string{"r.example.com:5000/team/x"}, []string{"r.example.com:5000/x"}},
		{"reg-*.example.com", []string{"reg-1.example.com/a"}, []string{"reg.example.com/a"}},
		{"reg.example/team-a", []string{"reg.example/team-a/app"}, []string{"reg.example/team-b/app", "reg.example/other/team-a"}},
		{"[::1]:5000", []string{"[::1]:5000/a"}, []string{"[::1]:5001/a"}},
	} {
		for source, c := range both(t, fmt.Sprintf(`{%q:{"username":"ann","password":"p"}}`, tc.key)) {
			for _, image := range tc.yes {
				if got, err := users(t, c, image); got != "ann" || err != nil {
					t.Errorf("%s: %q does not open %s: %q, %v", source, tc.key, image, got, err)
				}
			}
			for _, image := range tc.not {
				if got, _ := users(t, c, image); got != "" {
					t.Errorf("%s: %q opens %s", source, tc.key, image)
				}
			}
		}
	}
}

func TestTheLongestPathIsFirstAndAllAreTried(t *testing.T) {
	const entries = `{"*.example":{"username":"wild","password":"p"},"h.example":{"username":"host","password":"p"},
		"h.example/team-a":{"username":"a","password":"p"},"h.example/team-b":{"username":"b","password":"p"},
		"h.example/team-a/app":{"username":"app","password":"p"},"https://h.example/v1/":{"username":"old","password":"p"},"other.example":{"username":"no","password":"p"}}`
	for range 20 { // the order of a map is another one each time
		for source, c := range both(t, entries) {
			for image, want := range map[string]string{
				"h.example/team-a/app": "app a host old wild",
				"h.example/team-b/app": "b host old wild",
				"h.example/x":          "host old wild",
				"i.example/x":          "wild",
			} {
				if got, err := users(t, c, image); got != want || err != nil {
					t.Fatalf("%s: for %s %q, %v; want %q", source, image, got, err, want)
				}
			}
		}
	}
}

func TestEveryFormOfAnEntry(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	padded := encode("ann:pw")
	if !strings.HasSuffix(padded, "=") {
		padded = encode("ann:pass")
	}
	for entry, want := range map[string]string{
		`{"username":"ann","password":"p"}`:                             "ann:p",
		`{"auth":"` + encode("ann:p:q") + `"}`:                          "ann:p:q",
		`{"auth":"` + padded + `"}`:                                     "ann:",
		`{"auth":"` + strings.TrimRight(padded, "=") + `"}`:             "ann:",
		`{"auth":" ` + encode("ann:p") + `\n"}`:                         "ann:p",
		`{"auth":"` + encode("ann:p\x00\x00") + `"}`:                    "ann:p",
		`{"auth":"` + encode("ann:p") + `","username":"x","email":"e"}`: "ann:p",
	} {
		for source, c := range both(t, `{"h.example":`+entry+`}`) {
			repo, _ := name.NewRepository("h.example/a")
			list, err := c.For(repo)
			if err != nil || len(list) != 1 || !strings.HasPrefix(list[0].Username+":"+list[0].Password, want) {
				t.Errorf("%s: %s gives %+v, %v", source, entry, list, err)
			}
		}
	}
	for source, c := range both(t, `{"h.example":{"identitytoken":"i"},"i.example":{"registrytoken":"r"},"j.example":{}}`) {
		for host, want := range map[string][2]string{"h.example": {"i", ""}, "i.example": {"", "r"}} {
			repo, _ := name.NewRepository(host + "/a")
			list, err := c.For(repo)
			if err != nil || len(list) != 1 || list[0].IdentityToken != want[0] || list[0].RegistryToken != want[1] {
				t.Errorf("%s: tokens of %s: %+v, %v", source, host, list, err)
			}
		}
		if got, err := users(t, c, "j.example/a"); got != "" || err != nil {
			t.Errorf("%s: an empty entry is %q, %v", source, got, err)
		}
	}
}

func TestOneBrokenEntryIsNamedAndRefusesNoOther(t *testing.T) {
	for what, broken := range map[string]string{
		"auth is not base64":        `{"auth":"hunter2!"}`,
		"auth is not user:password": `{"auth":"aHVudGVyMg=="}`,
		"no object of strings":      `{"auth":["hunter2"]}`,
	} {
		for source, c := range both(t, `{"good.example":{"username":"ann","password":"p"},"bad.example":`+broken+`,"bad.example/team":{"username":"team","password":"p"},"%zz":{"username":"x","password":"y"}}`) {
			if got, err := users(t, c, "good.example/a"); got != "ann" || err != nil {
				t.Errorf("%s: %q, %v", source, got, err)
			}
			if got, err := users(t, c, "bad.example/team/a"); got != "team" || err != nil {
				t.Errorf("%s: beside a good one: %q, %v", source, got, err)
			}
			_, err := users(t, c, "bad.example/a")
			if err == nil || !strings.Contains(err.Error(), `entry "bad.example"`) || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", source, err)
			}
			if errs := c.Broken(); len(errs) != 2 || !slices.ContainsFunc(errs, func(err error) bool { return strings.Contains(err.Error(), "%zz") }) {
				t.Errorf("%s: broken are %v", source, errs)
			}
		}
	}
	for _, b := range []string{"", "{", "[]", `{"auths":[]}`} {
		if _, err := keyring.Parse([]byte(b)); err == nil {
			t.Errorf("%q was read", b)
		}
	}
	if _, err := keyring.ParseLegacy([]byte("hunter2")); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"auths":{"a.example/b":{"auth":"YTpi"}}}`), "a.example/b/c")
	f.Fuzz(func(_ *testing.T, b []byte, image string) {
		repo, err := name.NewRepository(image)
		if err != nil {
			return
		}
		for _, parse := range []func([]byte) (*keyring.Config, error){keyring.Parse, keyring.ParseLegacy} {
			if c, err := parse(b); err == nil {
				_, _ = c.For(repo)
				_ = c.Broken()
			}
		}
	})
}
