package anchore

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
)

// subject is an image as Anchore names it.
type subject struct {
	digest string
	pull   string // host/path@sha256:...
	tag    string // host/path:tag
}

func subjectOf(image backend.Image, how Submit) (*subject, error) {
	if !isSHA256(image.Digest) {
		return nil, &report.Failure{
			Reason:  report.ReasonUnsupported,
			Message: fmt.Sprintf("the scanner only takes images with a sha256 digest, not %q", image.Digest),
		}
	}
	u, err := url.Parse(image.Registry)
	if err != nil || u.Host == "" || image.Repository == "" {
		return nil, &report.Failure{
			Reason:  report.ReasonInternal,
			Message: fmt.Sprintf("the image has no usable registry or repository: %q, %q", image.Registry, image.Repository),
			Err:     err,
		}
	}
	tag := image.Tag
	if tag == "" {
		if how == SubmitTag {
			return nil, &report.Failure{
				Reason:  report.ReasonUnsupported,
				Message: fmt.Sprintf("the scanner is only given tags (%s.submit), and the image is named by its digest alone", configured),
			}
		}
		tag = strings.Replace(image.Digest, ":", "-", 1)
	}
	name := repository(u.Host, image.Repository)
	return &subject{digest: image.Digest, pull: name + "@" + image.Digest, tag: name + ":" + tag}, nil
}

// repository is how Anchore, like Docker, writes names of Docker Hub: policies
// are mapped by it.
func repository(host, path string) string {
	switch host {
	case "index.docker.io", "registry-1.docker.io", "docker.io":
		return "docker.io/" + strings.TrimPrefix(path, "library/")
	}
	return host + "/" + path
}

// isSHA256 tells the only kind of digest that Anchore's paths take.
func isSHA256(digest string) bool {
	sum, ok := strings.CutPrefix(digest, "sha256:")
	return ok && len(sum) == 64 && strings.Trim(sum, "0123456789abcdef") == ""
}
