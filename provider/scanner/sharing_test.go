package scanner_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/scanner"
)

func TestWhatAKeyTellsApart(t *testing.T) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	real := scanner.Image{Registry: "https://registry.example.com", Repository: "shop", Tag: "1", Digest: digest}
	evil, moved, tagged, listed, other := real, real, real, real, real
	evil.Registry = "https://evil.example"
	moved.Repository = "app"
	tagged.Tag = "2"
	listed.Index = digest
	other.Digest = strings.Replace(digest, "e3", "e4", 1)
	for _, tc := range []struct {
		what  string
		image scanner.Image
		// apart are the sharings whose keys tell it from the real one.
		apart []scanner.Sharing
	}{
		{"another registry", evil, []scanner.Sharing{scanner.ByName, scanner.ByRepository}},
		{"another repository", moved, []scanner.Sharing{scanner.ByName, scanner.ByRepository}},
		{"another tag", tagged, []scanner.Sharing{scanner.ByName}},
		{"out of an index", listed, []scanner.Sharing{scanner.ByName}},
		{"another digest", other, []scanner.Sharing{scanner.ByName, scanner.ByRepository, scanner.ByDigest}},
	} {
		apart := map[scanner.Sharing]bool{}
		for _, s := range tc.apart {
			apart[s] = true
		}
		for _, s := range []scanner.Sharing{scanner.ByName, scanner.ByRepository, scanner.ByDigest} {
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
			for s := range scanner.ByDigest + 1 {
				key := s.Key(scanner.Image{Registry: "http://[::1]:5000", Repository: repository, Digest: digest, Tag: "1"})
				if !legal.MatchString(key) || len(key) > 200 {
					t.Errorf("key %q of %q, %q", key, digest, repository)
				}
			}
		}
	}
}
