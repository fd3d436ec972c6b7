package review

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/review/loopback"
	"github.com/imagegate/imagegate/provider/wire"
)

// denyImageInput is the input document of deny_image rules.
type denyImageInput struct {
	ScanReport       any
	AdmissionRequest map[string]any
	PodObject        map[string]any
	ContainerObject  map[string]any
}

// explain rebuilds what the rules saw: the review as the target hands it to
// Rego, and the reports as they came over the wire.
func explain(subjects []subject, ns *corev1.Namespace, exchanges []loopback.Exchange) ([]Explanation, error) {
	reports := answersOf(exchanges)
	var out []Explanation
	for _, s := range subjects {
		request, err := regoReview(s.review, ns)
		if err != nil {
			return nil, fmt.Errorf("explaining: %w", err)
		}
		pod, ok := podOf(request)
		if !ok {
			continue
		}
		for _, c := range containersOf(pod) {
			seen, asked := reports.of(pod, c)
			raw, err := json.Marshal(denyImageInput{
				ScanReport:       seen,
				AdmissionRequest: request,
				PodObject:        pod,
				ContainerObject:  c.object,
			})
			if err != nil {
				return nil, fmt.Errorf("explaining container %s: %w", c.path, err)
			}
			name, _, _ := unstructured.NestedString(pod, "metadata", "name")
			out = append(out, Explanation{Pod: name, Container: c.path, Image: c.image, Asked: asked, Input: raw})
		}
	}
	return out, nil
}

// regoReview is input.review: the target's own form of a review, and the
// namespace that the driver adds to it.
func regoReview(review any, ns *corev1.Namespace) (map[string]any, error) {
	handled, form, err := (&target.K8sValidationTarget{}).HandleReview(review)
	if err != nil {
		return nil, err
	}
	if !handled {
		return nil, errors.New("Gatekeeper's target does not know this review")
	}
	raw, err := json.Marshal(form)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	out["namespaceObject"], err = util.NamespaceToMap(ns)
	return out, err
}

func podOf(request map[string]any) (map[string]any, bool) {
	kind, _, _ := unstructured.NestedString(request, "kind", "kind")
	group, _, _ := unstructured.NestedString(request, "kind", "group")
	if kind != "Pod" || group != "" {
		return nil, false
	}
	pod, ok := request["object"].(map[string]any)
	return pod, ok
}

// container is one thing with an image in a Pod.
type container struct {
	path       string
	image      string
	annotation string // of its original
	object     map[string]any
}

func containersOf(pod map[string]any) []container {
	var out []container
	for _, field := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range objectsAt(pod, field) {
			out = append(out, container{
				path: field + "/" + text(c, "name"), image: text(c, "image"),
				annotation: "original-image.imagegate.dev/" + text(c, "name"), object: c,
			})
		}
	}
	for _, v := range objectsAt(pod, "volumes") {
		image, ok := v["image"].(map[string]any)
		if !ok {
			continue
		}
		// The shape in which the library shows an image volume to rules that
		// are written for containers.
		out = append(out, container{path: "volumes/" + text(v, "name"), image: text(image, "reference"), annotation: "volume.original-image.imagegate.dev/" + text(v, "name"), object: map[string]any{
			"name":            text(v, "name"),
			"image":           text(image, "reference"),
			"imagePullPolicy": text(image, "pullPolicy"),
			"volume":          v,
		}})
	}
	return out
}

func objectsAt(pod map[string]any, field string) []map[string]any {
	items, _, _ := unstructured.NestedSlice(pod, "spec", field)
	var out []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func text(m map[string]any, field string) string {
	s, _ := m[field].(string)
	return s
}

// question is an image and what its key said was written for it.
type question struct{ image, original string }

// answers are the ScanReports of what was asked about, in the fullest view that
// was asked for.
type answers map[question]any

// of returns the report that the rules saw of a container: that of its own
// original before one that was asked for without or with another's.
func (a answers) of(pod map[string]any, c container) (seen any, asked bool) {
	annotations, _, _ := unstructured.NestedStringMap(pod, "metadata", "annotations")
	tagged, _, _ := strings.Cut(c.image, "@")
	for _, original := range []string{annotations[c.annotation], tagged, ""} {
		if seen, asked = a[question{c.image, original}]; asked {
			return seen, true
		}
	}
	return nil, false
}

func answersOf(exchanges []loopback.Exchange) answers {
	found := answers{}
	fullness := map[question]int{}
	for _, x := range exchanges {
		if x.Path != reportsPath {
			continue
		}
		for _, raw := range x.Keys {
			ref, _, _ := strings.Cut(raw, "?")
			q := question{image: ref}
			if k, err := wire.ParseKey(raw); err == nil {
				q.original = k.Original
			}
			if rank := fullnessOf(raw); rank > fullness[q] {
				fullness[q] = rank
				found[q] = reportFor(q, raw, x)
			}
		}
	}
	return found
}

func fullnessOf(key string) int {
	k, err := wire.ParseKey(key)
	switch {
	case err != nil:
		return 1
	case k.View == report.ViewFull:
		return 3
	case k.View == report.ViewFindings:
		return 2
	}
	return 1
}

// reportFor is the report, or what every template must read out of its absence.
func reportFor(q question, key string, x loopback.Exchange) any {
	if x.SystemError != "" {
		return report.ScanReport{ImageAndTag: q.image, Status: report.ScanFailed, Message: x.SystemError}
	}
	for _, written := range []string{q.original, q.image} {
		for _, item := range x.Items {
			value, _ := item.Value.(map[string]any)
			about := value["Image"]
			if about == nil {
				about = value["ImageAndTag"]
			}
			switch {
			case item.Error != "" && item.Key == key:
				return report.ScanReport{ImageAndTag: q.image, Status: report.ScanFailed, Message: item.Error}
			case item.Error == "" && about == q.image && value["ImageAndTag"] == written:
				return value
			}
		}
	}
	return report.ScanReport{ImageAndTag: q.image, Status: report.NotAvailable}
}
