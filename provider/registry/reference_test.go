package registry

import (
	"testing"

	"github.com/imagegate/imagegate/provider/report"
)

func TestAnUncleanPathIsNeverSent(t *testing.T) {
	reg := newRegistry(t, false)
	r := resolver(t, Options{Insecure: []string{reg.host()}})
	for _, path := range []string{"../api/v2.0/users/x:1", "a/../b", "a//b", "./a", "a:.."} {
		_, err := r.Resolve(t.Context(), reg.host()+"/"+path, "", Access{})
		wantFailure(t, err, report.ReasonNotFound, "is not a valid image reference")
	}
	reg.mu.Lock()
	defer reg.mu.Unlock()
	if len(reg.seen) > 0 {
		t.Errorf("the registry was asked: %v", reg.seen)
	}
}

func TestOneRegistryHasOneAddressHoweverItIsSpelled(t *testing.T) {
	r := resolver(t, Options{Insecure: []string{"plain.example:80", "other.example:5000"}})
	for in, want := range map[string]string{
		"EVIL.example:443/a/b": "https://evil.example",
		"evil.example:0443/a":  "https://evil.example",
		"evil.example:80/a":    "https://evil.example:80",
		// What is listed with a port is not listed without one, unless it is HTTP's.
		"Plain.example/a":      "http://plain.example",
		"plain.example:80/a":   "http://plain.example",
		"plain.example:443/a":  "https://plain.example",
		"OTHER.example:5000/a": "http://other.example:5000",
		"other.example/a":      "https://other.example",
		"docker.io/nginx":      "https://index.docker.io",
	} {
		got, err := r.target(in, "")
		if err != nil || got.base != want {
			t.Errorf("%s is at %s, %v, want %s", in, got.base, err, want)
		}
	}
}
