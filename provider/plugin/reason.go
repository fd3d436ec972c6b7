package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// answer is what is known of one workload.
type answer struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Denials are what its controllers were told, newest first, each once.
	Denials []denial `json:"denials"`
	// Now is whether a Pod of it would be let in; null when that is not known.
	Now *now `json:"now"`
	// Unknown are look-ups that failed: what is not listed is not known to be fine.
	Unknown []string `json:"unknown,omitempty"`
}

// now is the outcome of a dry run.
type now struct {
	Allowed bool     `json:"allowed"`
	Denials []denial `json:"denials,omitempty"`
	// Message is why there was no answer of a webhook's: a quota, for instance.
	Message string `json:"message,omitempty"`
	// Warnings came with the answer: a Constraint that only warns says there what it
	// would deny.
	Warnings []string `json:"warnings,omitempty"`
}

// warnings are those of the API server's answers.
type warnings struct {
	mu   sync.Mutex
	said []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.said, text) {
		w.said = append(w.said, text)
	}
}

// take returns those since it was called last.
func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	said := w.said
	w.said = nil
	return said
}

// why gathers what is known of a workload. Look-ups that fail are in the answer.
func why(ctx context.Context, client kubernetes.Interface, warned *warnings, w *unstructured.Unstructured, ask bool) answer {
	a := answer{Kind: w.GetKind(), Namespace: w.GetNamespace(), Name: w.GetName(), Denials: []denial{}}
	unknown := func(what string, err error) {
		if err != nil {
			a.Unknown = append(a.Unknown, fmt.Sprintf("%s: %v", what, err))
		}
	}
	told, err := told(ctx, client, w)
	unknown("what its controllers were told", err)
	a.Denials = append(a.Denials, told...)
	if ask {
		warned.take()
		a.Now, err = tried(ctx, client, w)
		if said := warned.take(); a.Now != nil {
			a.Now.Warnings = said
		}
		unknown("whether a Pod of it would be let in now", err)
	}
	return a
}

// told is what a workload's controllers were told of its Pods.
func told(ctx context.Context, client kubernetes.Interface, w *unstructured.Unstructured) ([]denial, error) {
	all := denialsOfConditions(w)
	makers, err := makers(ctx, client, w)
	errs := []error{err}
	uids := []types.UID{w.GetUID()}
	for _, m := range makers {
		uids = append(uids, m.uid)
		all = append(all, m.denials...)
	}
	for _, uid := range uids {
		events, err := client.CoreV1().Events(w.GetNamespace()).List(ctx, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("involvedObject.uid", string(uid)).String(),
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("list events: %w", err))
			break
		}
		for i := range events.Items {
			all = append(all, ofEvent(&events.Items[i])...)
		}
	}
	return distinct(all), errors.Join(errs...)
}

// maker is what makes the Pods of a workload in its place.
type maker struct {
	uid     types.UID
	denials []denial
}

// makers are a Deployment's ReplicaSets and a CronJob's Jobs; nothing else has any.
func makers(ctx context.Context, client kubernetes.Interface, w *unstructured.Unstructured) ([]maker, error) {
	var all []maker
	owned := func(object metav1.Object, denials []denial) {
		if metav1.IsControlledBy(object, w) {
			all = append(all, maker{object.GetUID(), denials})
		}
	}
	switch w.GroupVersionKind().GroupKind().String() {
	case "Deployment.apps":
		sets, err := client.AppsV1().ReplicaSets(w.GetNamespace()).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list ReplicaSets: %w", err)
		}
		for i := range sets.Items {
			s := &sets.Items[i]
			var said []denial
			for _, c := range s.Status.Conditions {
				if c.Status == corev1.ConditionTrue {
					said = append(said, at(denials(c.Message), c.LastTransitionTime.Time, 0)...)
				}
			}
			owned(s, said)
		}
	case "CronJob.batch":
		jobs, err := client.BatchV1().Jobs(w.GetNamespace()).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list Jobs: %w", err)
		}
		for i := range jobs.Items {
			owned(&jobs.Items[i], nil)
		}
	}
	return all, nil
}

// denialsOfConditions reads conditions that hold: a Deployment has its ReplicaSet's.
func denialsOfConditions(w *unstructured.Unstructured) []denial {
	conditions, _, _ := unstructured.NestedSlice(w.Object, "status", "conditions")
	var all []denial
	for _, c := range conditions {
		fields, ok := c.(map[string]any)
		if !ok || fields["status"] != string(corev1.ConditionTrue) {
			continue
		}
		message, _ := fields["message"].(string)
		changed, _ := fields["lastTransitionTime"].(string)
		when, _ := time.Parse(time.RFC3339, changed) // none is the zero time
		all = append(all, at(denials(message), when, 0)...)
	}
	return all
}

func ofEvent(e *corev1.Event) []denial {
	when, count := e.LastTimestamp.Time, e.Count
	if when.IsZero() {
		when = e.EventTime.Time
	}
	if s := e.Series; s != nil {
		when, count = s.LastObservedTime.Time, s.Count
	}
	return at(denials(e.Message), when, count)
}

// at notes when and how often denials were said.
func at(all []denial, when time.Time, count int32) []denial {
	for i := range all {
		if !when.IsZero() {
			all[i].Last = &when
		}
		all[i].Count = count
	}
	return all
}

// distinct has each thing that was said once, the newest first.
func distinct(all []denial) []denial {
	type said struct{ webhook, constraint, message string }
	at := map[said]int{}
	var once []denial
	for _, d := range all {
		key := said{d.Webhook, d.Constraint, d.Message}
		i, ok := at[key]
		if !ok {
			at[key] = len(once)
			once = append(once, d)
			continue
		}
		once[i].Count = max(once[i].Count, d.Count)
		if later(d, once[i]) {
			once[i].Last = d.Last
		}
	}
	slices.SortStableFunc(once, func(a, b denial) int {
		switch {
		case later(a, b):
			return -1
		case later(b, a):
			return 1
		}
		return 0
	})
	return once
}

func later(a, b denial) bool {
	return a.Last != nil && (b.Last == nil || a.Last.After(*b.Last))
}

// tried asks by a dry run whether a Pod of the workload would be let in now.
func tried(ctx context.Context, client kubernetes.Interface, w *unstructured.Unstructured) (*now, error) {
	pod, err := podOf(w)
	if err != nil {
		return nil, err
	}
	_, err = client.CoreV1().Pods(w.GetNamespace()).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return &now{Allowed: true}, nil
	}
	if found := denials(err.Error()); len(found) > 0 {
		return &now{Denials: found}, nil
	}
	// Whom the API server does not let ask has no answer. What else keeps a Pod out, a
	// quota or the Pod Security standard, keeps it out.
	if s := apierrors.APIStatus(nil); errors.As(err, &s) && !createForbidden(err) && ctx.Err() == nil {
		return &now{Message: err.Error()}, nil
	}
	return nil, fmt.Errorf("create a Pod as a dry run: %w", err)
}

// createForbidden says whether the user has no right to create Pods.
func createForbidden(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot create resource") || apierrors.IsUnauthorized(err)
}

// podOf is a Pod as the workload's controller makes them.
func podOf(w *unstructured.Unstructured) (*corev1.Pod, error) {
	template := &corev1.PodTemplateSpec{}
	from := func(path ...string) error {
		m, ok, err := unstructured.NestedMap(w.Object, path...)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("has no %s, and so no Pods", strings.Join(path, "."))
		}
		return runtime.DefaultUnstructuredConverter.FromUnstructured(m, template)
	}
	var err error
	switch w.GroupVersionKind().GroupKind().String() {
	case "Pod":
		var p corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(w.Object, &p); err != nil {
			return nil, err
		}
		template.Labels, template.Annotations, template.Spec = p.Labels, p.Annotations, p.Spec
		// Where it runs was decided after it was let in.
		template.Spec.NodeName, template.Spec.EphemeralContainers = "", nil
	case "CronJob.batch":
		var c batchv1.CronJob
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(w.Object, &c)
		template = &c.Spec.JobTemplate.Spec.Template
	default:
		err = from("spec", "template")
	}
	if err != nil {
		return nil, err
	}
	if len(template.Spec.Containers) == 0 {
		return nil, errors.New("has no containers in spec.template, and so no Pods")
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: w.GetName() + "-", Labels: template.Labels, Annotations: template.Annotations},
		Spec:       template.Spec,
	}, nil
}
