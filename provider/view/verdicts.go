package view

import (
	"slices"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/service"
)

// answer is what is answered about an image, or one report of it.
type answer struct {
	status  report.Status
	message string
}

// badness orders statuses, the worst last.
func badness(s report.Status) int {
	return slices.Index([]report.Status{"", report.Accepted, report.NotAvailable, report.ScanFailed, report.Rejected}, s)
}

func (a answer) worse(than answer) bool { return badness(a.status) > badness(than.status) }

// tell notes what a namespace is answered: the worst of its names counts.
func (r *row) tell(namespace string, a answer) {
	if r.answers == nil {
		r.answers = map[string]answer{}
	}
	if a.message == r.message {
		a.message = r.message // one copy
	}
	if before, told := r.answers[namespace]; !told || a.worse(before) {
		r.answers[namespace] = a
	}
}

// in is what a namespace is answered, which need not have asked.
func (r *row) in(namespace string) answer {
	if a, ok := r.answers[namespace]; ok {
		return a
	}
	return r.nameless
}

// verdicts are those on all images at one moment, for lists of what runs or was to run.
type verdicts struct {
	names *Names
	// byKey are the rows of reports; byDigest are these and what there is no report of
	// because its scan has failed, which failed has alone.
	byKey            map[string]*row
	byDigest, failed map[string][]*row
	// found are the rows with findings, by all digests that they go by.
	found map[string][]*row
}

func (v *View) verdicts() *verdicts {
	items := v.items()
	out := &verdicts{v.o.Names, make(map[string]*row, len(items)), make(map[string][]*row, len(items)), map[string][]*row{}, make(map[string][]*row, len(items))}
	for _, i := range items {
		if i.key != "" {
			out.byKey[i.key] = i.row
			for _, d := range i.digests {
				out.found[d] = append(out.found[d], i.row)
			}
		} else {
			out.failed[i.digest] = append(out.failed[i.digest], i.row)
		}
		out.byDigest[i.digest] = append(out.byDigest[i.digest], i.row)
	}
	return out
}

// of is what a namespace is answered about the image of a digest, that of an index or a
// manifest: by the names by which it has asked, else by those of others; known is false
// where that needs a report that is not there. The digests are tried in their order.
func (v *verdicts) of(namespace string, digests ...string) (worst answer, known bool) {
	for _, d := range digests {
		if worst, known = v.one(namespace, d); known {
			return worst, true
		}
	}
	return answer{}, false
}

func (v *verdicts) one(namespace, digest string) (worst answer, known bool) {
	images, all := v.images(namespace, digest)
	if len(images) == 0 {
		return v.worst(namespace, v.failed[digest])
	}
	for _, i := range images {
		for _, m := range i.Manifests {
			rows := v.failed[m.Digest]
			if r := v.byKey[m.Key]; r != nil {
				rows = []*row{r}
			}
			a, known := v.worst(namespace, rows)
			if !known {
				return answer{}, false
			}
			if a.worse(worst) {
				worst = a
			}
		}
	}
	// Of names that were not looked at nothing is known.
	return worst, all || worst.status != report.Accepted
}

// images are the ways in which a namespace has asked for a digest. Where it has not they
// have no name, and are of what others have asked for, or of the reports that there are.
func (v *verdicts) images(namespace, digest string) (out []service.Image, all bool) {
	named, all := v.names.ofDigest(digest)
	for _, i := range named {
		if i.Namespace == namespace {
			out = append(out, i)
		}
	}
	if len(out) > 0 {
		return out, all
	}
	for _, i := range named {
		out = append(out, service.Image{Digest: i.Digest, Manifests: i.Manifests})
	}
	if len(named) > 0 {
		return out, all
	}
	for _, r := range v.byDigest[digest] {
		if r.key != "" {
			out = append(out, service.Known(r.key, digest))
		}
	}
	return out, true
}

func (*verdicts) worst(namespace string, rows []*row) (worst answer, known bool) {
	for _, r := range rows {
		if a := r.in(namespace); a.worse(worst) {
			worst = a
		}
	}
	return worst, worst.status != ""
}

// whole reports whether the findings of an image are known, by one of its digests.
func (v *verdicts) whole(digests []string) bool {
	return slices.ContainsFunc(digests, func(d string) bool {
		rows := v.found[d]
		return len(rows) > 0 && !slices.ContainsFunc(rows, func(r *row) bool { return !r.whole })
	})
}
