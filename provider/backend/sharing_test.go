package backend_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/backend"
)

func TestWhatAKeyTellsApart(t *testing.T) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	real := backend.Image{Registry: "https://registry.example.com", Repository: "shop", Tag: "1", Digest: digest}
	evil, moved, tagged, listed, other := real, real, real, real, real
	evil.Registry = "https://evil.example"
	moved.Repository = "app"
	tagged.Tag = "2"
	listed.Index = digest
	other.Digest = strings.Replace(digest, "e3", "e4", 1)
	for _, tc := range []struct {
		what  string
		image backend.Image
		// apart are the sharings whose keys tell it from the real one.
		apart []backend.Sharing
	}{
		{"another registry", evil, []backend.Sharing{backend.ByName, backend.ByRepository}},
		{"another repository", moved, []backend.Sharing{backend.ByName, backend.ByRepository}},
		{"another tag", tagged, []backend.Sharing{backend.ByName}},
		{"out of an index", listed, []backend.Sharing{backend.ByName}},
		{"another digest", other, []backend.Sharing{backend.ByName, backend.ByRepository, backend.ByDigest}},
	} {
		apart := map[backend.Sharing]bool{}
		for _, s := range tc.apart {
			apart[s] = true
		}
		for _, s := range []backend.Sharing{backend.ByName, backend.ByRepository, backend.ByDigest} {
			if got := s.Key(real) != s.Key(tc.image); got != apart[s] {
				t.Errorf("%s, sharing %d: told apart %t, want %t", tc.what, s, got, apart[s])
			}
		}
	}
}

// TestKeysFitAStore: JetStream's keys are of a few characters only, and names
// are chosen by whoever may create Pods.
func TestKeysFitAStore(t *testing.T) {
	legal := regexp.MustCompile(`^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$`)
	for _, digest := range []string{"", "sha256:" + strings.Repeat("a", 64), "sha512:" + strings.Repeat("a", 128), "sha256:x y", "..", strings.Repeat("a", 5000), "a:b:c"} {
		for _, repository := range []string{"", "shop", strings.Repeat("a/", 5000), "* > .."} {
			for s := range backend.ByDigest + 1 {
				key := s.Key(backend.Image{Registry: "http://[::1]:5000", Repository: repository, Digest: digest, Tag: "1"})
				if !legal.MatchString(key) || len(key) > 200 {
					t.Errorf("key %q of %q, %q", key, digest, repository)
				}
			}
		}
	}
}
