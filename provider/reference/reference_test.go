package reference_test

import (
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/reference"
)

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseTakesWhatARuntimePulls(t *testing.T) {
	for in, want := range map[string]string{
		"nginx":                                "index.docker.io/library/nginx",
		"nginx:1.27":                           "index.docker.io/library/nginx",
		"nginx:1.27" + digest:                  "index.docker.io/library/nginx",
		"docker.io/nginx":                      "index.docker.io/library/nginx",
		"index.docker.io/library/nginx":        "index.docker.io/library/nginx",
		"registry-1.docker.io/nginx":           "index.docker.io/library/nginx",
		"team/app":                             "index.docker.io/team/app",
		"localhost/app":                        "localhost/app",
		"localhost:5000/a/b:c":                 "localhost:5000/a/b",
		"GHCR.io:443/acme/web_1.0--x" + digest: "ghcr.io/acme/web_1.0--x",
		"[2001:DB8:0::1]:5000/a":               "[2001:db8::1]:5000/a",
		"127.0.0.1:05000/a":                    "127.0.0.1:5000/a",
	} {
		ref, err := reference.Parse(in)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
			continue
		}
		if got := reference.Repository(ref.Context()); got != want {
			t.Errorf("%q is of %q, want %q", in, got, want)
		}
	}
}

func TestAReferenceWhosePathIsNotCleanIsRefused(t *testing.T) {
	for _, in := range []string{
		"host.example/../api/v2.0/users/x:1", "host.example/a/../b", "host.example/./a", "host.example/a//b",
		"host.example//a", "host.example/a/", "host.example/..", "host.example/.a", "host.example/a.", "host.example/a/-b",
		"host.example/a..b", "host.example/a___b", "a/../b", "../a", "host.example/a:..", "host.example/a:.", "host.example/a:-x",
		"", " ", " nginx", "nginx ", "NGINX", "Team/app", "a:b:c", "nginx:", "nginx?x=y", "nginx#", "a\nb", "a@sha256:1", "nginx@",
		"user@host.example/a", "host.example./a", "host.example:/a", "host.exa%6dple/a", "höst.example/a", "host.example:x/a",
		"https://host.example/a", "host_x.example/a", "host.example/" + strings.Repeat("a", 256), strings.Repeat("a.", 600) + "b/c",
		strings.Repeat("0123456789abcdef", 4),
	} {
		ref, err := reference.Parse(in)
		if err == nil {
			t.Errorf("Parse(%q) = %s", in, ref.Name())
			continue
		}
		if msg := err.Error(); len(msg) > 250 || strings.ContainsAny(msg, "\n\r") {
			t.Errorf("Parse(%.60q): a message of %d bytes: %q", in, len(msg), msg)
		}
	}
}

func TestParseTagDigestAndRepository(t *testing.T) {
	for in, want := range map[string][3]bool{
		"a": {true, false, true}, "a:1": {true, false, false}, "a" + digest: {false, true, false},
		"a:1" + digest: {false, true, false}, "localhost:5000/a": {true, false, true}, "h.io/../a": {},
	} {
		_, tag := reference.ParseTag(in)
		_, dig := reference.ParseDigest(in)
		_, repo := reference.ParseRepository(in)
		if got := [3]bool{tag == nil, dig == nil, repo == nil}; got != want {
			t.Errorf("%q: tag, digest, repository %v, want %v", in, got, want)
		}
	}
}

func TestHost(t *testing.T) {
	for in, want := range map[string]string{
		"ghcr.io": "ghcr.io", "GHCR.io": "ghcr.io", "ghcr.io.": "ghcr.io", "ghcr.io:443": "ghcr.io", "ghcr.io:0443": "ghcr.io",
		"ghcr.io:": "ghcr.io", "ghcr.io.:80": "ghcr.io", "ghcr.io:8443": "ghcr.io:8443", "EVIL.example:443": "evil.example",
		"docker.io": reference.DockerHub, "Registry-1.docker.io:443": reference.DockerHub, "registry.hub.docker.com.": reference.DockerHub,
		"index.docker.io": reference.DockerHub, "[::1]:5000": "[::1]:5000", "[2001:DB8:0:0::1]": "[2001:db8::1]", "[::1]:443": "[::1]",
		"localhost:05000": "localhost:5000", "": "",
	} {
		if got := reference.Host(in); got != want {
			t.Errorf("Host(%q) = %q, want %q", in, got, want)
		}
		if again := reference.Host(want); again != want {
			t.Errorf("Host(%q) = %q, which is no fixed point", want, again)
		}
	}
	for _, tc := range [][3]string{
		{"https", "Host.example.:443", "host.example"}, {"https", "host.example:80", "host.example:80"},
		{"http", "host.example:80", "host.example"}, {"http", "host.example:443", "host.example:443"},
		{"https", "docker.io", "docker.io"}, {"http", "[::1]:080", "[::1]"},
	} {
		if got := reference.Address(tc[0], tc[1]); got != tc[2] {
			t.Errorf("Address(%s, %s) = %q, want %q", tc[0], tc[1], got, tc[2])
		}
	}
}

func TestParseHostRefusesWhatNoReferenceNames(t *testing.T) {
	for in, want := range map[string]string{"Reg.example:443": "reg.example", "localhost": "localhost", "reg:80": "reg", "docker.io": reference.DockerHub} {
		if got, err := reference.ParseHost(in); err != nil || got != want {
			t.Errorf("ParseHost(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "reg", "https://reg.example", "reg.example/a", "re g.example", "reg_x.example", "a@b.c", "*.example"} {
		if got, err := reference.ParseHost(in); err == nil {
			t.Errorf("ParseHost(%q) = %q", in, got)
		}
	}
}

func TestPrefixesOfDockerHubMatchBothWays(t *testing.T) {
	for _, tc := range []struct {
		prefix, host, repository string
		want                     bool
	}{
		{"docker.io/nginx", "index.docker.io", "library/nginx", true},
		{"docker.io/nginx", "registry-1.docker.io", "nginx", true},
		{"docker.io/library/nginx", "docker.io", "nginx", true},
		{"docker.io/library/nginx", "index.docker.io", "library/nginx", true},
		{"docker.io/bitnami", "index.docker.io", "bitnami/redis", true},
		{"docker.io/library", "index.docker.io", "library/nginx", true},
		{"docker.io/nginx", "index.docker.io", "library/nginx-evil", false},
		{"docker.io/nginx", "ghcr.io", "library/nginx", false},
		{"docker.io/nginx/", "index.docker.io", "evil/nginx", false},
		{"ghcr.io/nginx", "ghcr.io", "library/nginx", false},
		{"ghcr.io", "GHCR.io:443", "a/b", true},
		{"ghcr.io/team", "ghcr.io", "team", true},
		{"ghcr.io/team/", "ghcr.io", "team/app", true},
		{"ghcr.io/team", "ghcr.io", "teammate/app", false},
		{"Registry.Example.com.:443", "registry.example.com", "x", true},
		{"registry.example.com", "registry.example.com:8443", "x", false},
	} {
		p, err := reference.ParsePrefix(tc.prefix)
		if err != nil {
			t.Errorf("%s: %v", tc.prefix, err)
			continue
		}
		if _, got := p.Match(tc.host, tc.repository); got != tc.want {
			t.Errorf("%s matches %s/%s: %t, want %t", tc.prefix, tc.host, tc.repository, got, tc.want)
		}
		if again, err := reference.ParsePrefix(p.String()); err != nil || again != p {
			t.Errorf("%s spelled out is %v, %v, want %v", tc.prefix, again, err, p)
		}
	}
}

func TestAPrefixThatCanNeverMatchIsRefused(t *testing.T) {
	for _, in := range []string{
		"", "/", "nginx", "library/nginx", "https://ghcr.io", "ghcr.io/Team", "ghcr.io/a:1", "ghcr.io/a" + digest, "ghcr.io/../a",
		"ghcr.io//a", "ghcr.io/a//", "ghcr.io/*", "*", "*.example.com", "ghcr.io/" + strings.Repeat("a", 300),
	} {
		if p, err := reference.ParsePrefix(in); err == nil {
			t.Errorf("ParsePrefix(%q) = %s", in, p)
		}
	}
}

func TestTheCloserPrefixAndClashes(t *testing.T) {
	parse := func(s string) reference.Prefix {
		t.Helper()
		p, err := reference.ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	nginx, library := parse("docker.io/nginx"), parse("docker.io/library")
	a, _ := nginx.Match("docker.io", "library/nginx")
	b, _ := library.Match("docker.io", "library/nginx")
	if a <= b {
		t.Errorf("docker.io/nginx is at %d no closer to library/nginx than docker.io/library at %d", a, b)
	}
	if !nginx.Clashes(parse("registry-1.docker.io/library/nginx")) || nginx.Clashes(library) || nginx.Clashes(parse("ghcr.io/nginx")) {
		t.Error("clashes are not told")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"nginx", "host.example/../a:1", "EVIL.example:443/a@sha256:00", "[::1]:5000/a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := reference.Parse(s)
		if err != nil {
			return
		}
		full := reference.Repository(ref.Context())
		again, err := reference.Parse(full)
		if err != nil {
			// A default port may be what made the host one.
			if host, _, _ := strings.Cut(full, "/"); strings.ContainsAny(host, ".:") {
				t.Fatalf("%q spelled out is %q: %v", s, full, err)
			}
			return
		}
		if got := reference.Repository(again.Context()); got != full && strings.ContainsAny(strings.SplitN(full, "/", 2)[0], ".:") {
			t.Fatalf("%q is %q, and that is %q", s, full, got)
		}
	})
}

func TestWhatPeopleMistypeIsNamed(t *testing.T) {
	for in, want := range map[string]string{
		"https://host.example/a:1": "a reference has no https://",
		"docker://nginx":           "a reference has no docker://",
		"127.0.0.1:5000/Mine:1":    "its repository has upper case, and no image's has",
		"NGINX":                    "its repository has upper case, and no image's has",
	} {
		if _, err := reference.Parse(in); err == nil || err.Error() != want {
			t.Errorf("Parse(%q): %v, want %s", in, err, want)
		}
	}
}
