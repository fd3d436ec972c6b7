package admin

import (
	"strings"
	"testing"
)

const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestWhatASelectorChooses(t *testing.T) {
	nginx := Scan{ID: "1", State: Waiting, Namespace: "a", Image: "nginx@" + digest, Tag: "1.27", Registry: "https://index.docker.io", Repository: "library/nginx", Digest: "sha256:b"}
	app := Scan{ID: "2", State: Failed, Namespace: "b", Image: "ghcr.io/team/app@" + digest, Tag: "1", Registry: "https://ghcr.io", Repository: "team/app", Digest: digest}
	local := Scan{ID: "3", State: Running, Image: "localhost:5000/app@" + digest, Registry: "http://localhost:5000", Repository: "app"}
	unread := Scan{ID: "4", State: Failed, Namespace: "b"}
	for want, selectors := range map[string][]Selector{
		"1234": {{}, {All: true}},
		"1": {
			{IDs: []string{"1"}}, {Namespace: "a"}, {Image: "nginx"}, {Image: "library/nginx"}, {Image: "docker.io/library/nginx"}, {Image: "docker.io"},
			{Image: "nginx:1.27"}, {Image: "docker.io/nginx:1.27"}, {Image: "sha256:b"}, {Image: "docker.io/library"},
		},
		"2":   {{Image: "ghcr.io"}, {Image: "ghcr.io/team"}, {Image: "ghcr.io/team/app:1"}, {Image: "ghcr.io/team/app@" + digest}, {Failed: true, Image: digest}},
		"3":   {{Image: "localhost:5000"}, {Image: "localhost:5000/app"}},
		"24":  {{Failed: true}, {Namespace: "b"}, {IDs: []string{"2", "4"}}},
		"123": {{Image: digest}},
		"":    {{IDs: []string{"5"}}, {Image: "nginx:1.28"}, {Image: "ghcr.io/tea"}, {Namespace: "a", Failed: true}, {IDs: []string{"1"}, Namespace: "b"}},
	} {
		for _, s := range selectors {
			matches, err := s.matcher()
			if err != nil {
				t.Errorf("%+v: %v", s, err)
				continue
			}
			var got strings.Builder
			for _, c := range []Scan{nginx, app, local, unread} {
				if matches(&c) {
					got.WriteString(c.ID)
				}
			}
			if got.String() != want {
				t.Errorf("%+v chooses %q, want %q", s, got.String(), want)
			}
		}
	}
}

func TestASelectorThatMeansNothing(t *testing.T) {
	for _, image := range []string{"a b", "UPPER", "http://a", ":", "a@sha256:x"} {
		s := Selector{Image: image}
		if _, err := s.matcher(); err == nil || !strings.Contains(err.Error(), image) {
			t.Errorf("%q: %v", image, err)
		}
	}
	for _, s := range []Selector{{All: true}, {Failed: true}, {Namespace: "a"}, {Image: "a"}, {IDs: []string{"a"}}} {
		if err := s.bounded(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if err := (&Selector{}).bounded(); err == nil {
		t.Error("an empty selector empties the queue")
	}
}
