package view

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// param is a part of the path as it was meant.
func param(r *http.Request, name string) string {
	s := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return s
	}
	meant, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return meant
}

// image is the page of one image by the digest of its index or manifest. Of several
// ways to ask for it, that of the query is shown, else the one with the worst verdict.
func (v *View) image(w http.ResponseWriter, r *http.Request) {
	digest := param(r, "digest")
	images, all := v.o.Names.ofDigest(digest)
	q := r.URL.Query()
	named := len(images) > 0
	if !named {
		var complete bool
		if images, complete = v.nameless(digest); len(images) == 0 {
			v.unnamed(w, r, digest, complete)
			return
		}
	}
	var shown service.Kept
	var chosen int
	asked := make([]asked, 0, len(images))
	for n, i := range images {
		kept, err := v.o.Scans.Kept(r.Context(), i, v.o.Reports.Get)
		if err != nil {
			v.write(w, r, 0, "", nil, err)
			return
		}
		picked := q.Get("image") == i.Written && q.Get("asked") == i.Reference && q.Get("namespace") == i.Namespace && q.Get("image") != ""
		if n == 0 || picked || !pickedBefore(asked) && badness(kept.Report.Status) > badness(shown.Report.Status) {
			shown, chosen = kept, n
		}
		asked = append(asked, askedOf(digest, i, kept.Report.Status, picked))
	}
	p := newImagePage(shown, v.o.Judge, v.now(), func(id string) string { return vulnerabilityPath + url.PathEscape(id) })
	p.Assets, p.Nav = v.pages.links, v.nav("")
	digests := []string{digest}
	for _, i := range images {
		for _, m := range i.Manifests {
			if i.Digest == digest && !slices.Contains(digests, m.Digest) {
				digests = append(digests, m.Digest)
			}
		}
	}
	p.Runs = v.runs(digests)
	if named {
		for n := range asked {
			asked[n].Current = n == chosen
		}
		p.Asked = asked
		if !all {
			p.Warnings = append(p.Warnings, fmt.Sprintf("It was asked for in more ways than the %d that are looked at here: for another the verdict may be another.", len(images)))
		}
	} else {
		p.Title = digest
		p.Report.ImageAndTag = digest
		p.Warnings = append(p.Warnings, "Nobody has asked for this image since this replica of the provider has started, so its name is not known: exceptions and VEX statements for named images are not taken into account here. For all of its platforms it is judged when it is asked for.")
		if len(images) > 1 {
			p.Warnings = append(p.Warnings, "There are several reports of this digest, each for other names of the image. This is the one with the worst verdict.")
		}
	}
	var b bytes.Buffer
	err := v.pages.render(&b, imageTemplate, p)
	v.write(w, r, http.StatusOK, "text/html; charset=utf-8", &b, err)
}

func pickedBefore(all []asked) bool {
	return slices.ContainsFunc(all, func(a asked) bool { return a.Current })
}

func askedOf(digest string, i service.Image, status report.Status, picked bool) asked {
	q := url.Values{"image": {i.Written}, "asked": {i.Reference}}
	if i.Namespace != "" {
		q.Set("namespace", i.Namespace)
	}
	return asked{Image: i.Written, Namespace: i.Namespace, Link: address(imagePath+url.PathEscape(digest), q), Status: status, Current: picked}
}

// unnamed says that nothing is known of a digest, as far as the reports are known.
func (v *View) unnamed(w http.ResponseWriter, r *http.Request, digest string, complete bool) {
	if !complete {
		w.Header().Set("Retry-After", "2")
		v.say(w, r, http.StatusServiceUnavailable, "It is not known yet whether there is such an image",
			"This replica of the provider has not read what there are reports of.", clean(digest))
		return
	}
	v.say(w, r, http.StatusNotFound, "There is no such image",
		"Of this digest there is no report, and nobody has asked for it since this replica of the provider has started.", clean(digest))
}

// nameless are the reports of a digest that nobody has asked for, as far as complete
// says that all reports are known.
func (v *View) nameless(digest string) (out []service.Image, complete bool) {
	of := backend.ByDigest.Key(backend.Image{Digest: digest})
	all, complete := v.o.Reports.All()
	for _, s := range all {
		if s.Key == of || strings.HasPrefix(s.Key, of+".") {
			out = append(out, service.Known(s.Key, digest))
		}
	}
	return out, complete
}
