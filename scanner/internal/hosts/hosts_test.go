package hosts

import "testing"

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ scheme, host, want string }{
		{"https", "evil.example", "evil.example"},
		{"https", "EVIL.example", "evil.example"},
		{"https", "evil.example:443", "evil.example"},
		{"https", "evil.example.", "evil.example"},
		{"https", "evil.example.:443", "evil.example"},
		{"https", "evil.example:80", "evil.example:80"},
		{"http", "evil.example:80", "evil.example"},
		{"http", "evil.example:5000", "evil.example:5000"},
		{"https", "docker.io", "index.docker.io"},
		{"https", "registry-1.docker.io", "index.docker.io"},
		{"https", "[::1]:443", "[::1]"},
		{"https", "[2001:DB8::1]", "[2001:db8::1]"},
		{"https", "[::1]:5000", "[::1]:5000"},
	} {
		if got := Canonical(c.scheme, c.host); got != c.want {
			t.Errorf("%s://%s is %q, want %q", c.scheme, c.host, got, c.want)
		}
	}
}
