package anchoretest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// submission is the body of POST /images in either version.
type submission struct {
	Digest    string `json:"digest"`
	Tag       string `json:"tag"`
	CreatedAt string `json:"created_at"`
	Source    *struct {
		Digest *struct {
			PullString string `json:"pull_string"`
			Tag        string `json:"tag"`
			CreatedAt  string `json:"creation_timestamp_override"`
		} `json:"digest"`
		Tag *struct {
			PullString string `json:"pull_string"`
		} `json:"tag"`
	} `json:"source"`
}

// submit answers POST /images. It refuses what the services refuse.
func (s *Server) submit(w http.ResponseWriter, b []byte) {
	var in submission
	if err := json.Unmarshal(b, &in); err != nil {
		s.fail(w, http.StatusBadRequest, "the body is not JSON")
		return
	}
	pull, tag, created := in.Digest, in.Tag, in.CreatedAt
	if s.o.API == V2 {
		if in.Source == nil || in.Source.Digest == nil && in.Source.Tag == nil {
			s.fail(w, http.StatusBadRequest, "source is required")
			return
		}
		if in.Source.Digest != nil {
			pull, tag, created = in.Source.Digest.PullString, in.Source.Digest.Tag, in.Source.Digest.CreatedAt
		} else {
			pull, tag = "", in.Source.Tag.PullString
		}
	}
	if tag == "" {
		s.fail(w, http.StatusBadRequest, "tag is required for image add")
		return
	}
	if pull != "" && s.o.API != V2 {
		if _, err := time.Parse("2006-01-02T15:04:05Z", created); err != nil {
			s.fail(w, http.StatusBadRequest, "must supply created_at override when adding a new image by tag+digest")
			return
		}
	}
	s.add(w, pull, tag)
}

func (s *Server) add(w http.ResponseWriter, pull, tag string) {
	_, digest, _ := strings.Cut(pull, "@")
	plan := s.plan(digest)
	if plan.Moved != "" {
		digest = plan.Moved
	}
	if digest == "" {
		s.fail(w, http.StatusBadRequest, "cannot fetch image digest/manifest from registry")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.images[digest]
	if !ok {
		r = &record{digest: digest, tags: map[string]bool{}, created: time.Now().UTC().Truncate(time.Second)}
		s.images[digest] = r
	}
	r.tags[normalised(tag)] = true
	s.state(w, r)
}

// normalised is how the services write a tag: with a registry in front.
func normalised(tag string) string {
	host, _, ok := strings.Cut(tag, "/")
	if !ok || !strings.ContainsAny(host, ".:") && host != "localhost" {
		return "docker.io/" + tag
	}
	return tag
}

// Submit submits an image as a POST with this body does, without one.
func (s *Server) Submit(body []byte) { s.submit(httptest.NewRecorder(), body) }
