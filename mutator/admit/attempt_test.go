package admit_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/mutator/admit"
	"github.com/imagegate/imagegate/provider/wire"
)

// said is what keys tell of who asks.
func said(keys []wire.Key) []string {
	var out []string
	for _, k := range keys {
		out = append(out, strings.Join([]string{k.Reference, k.User, k.Pod, k.Owner.Name, k.Original}, "|"))
	}
	slices.Sort(out)
	return out
}

// TestAttempts has the provider told who wants to run what, when somebody does.
func TestAttempts(t *testing.T) {
	yes := true
	made := func(by string, images ...string) *corev1.Pod {
		p := pod(images...)
		if by != "" {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: by, UID: "u", Controller: &yes}}
		}
		return p
	}
	generated := made("", "a:1")
	generated.Name, generated.GenerateName = "", "run-"
	foreign := made("", "a:1")
	foreign.OwnerReferences = []metav1.OwnerReference{{APIVersion: "argoproj.io/v1alpha1", Kind: "Workflow", Name: "w", UID: "u", Controller: &yes}}
	of := func(user string, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionRequest {
		req.UserInfo.Username = user
		return req
	}
	dry := of("anna", create(t, made("", "a:1")))
	dry.DryRun = &yes
	none := of("anna", create(t, made("", "a:1")))
	none.Namespace = ""
	job := of("anna", create(t, map[string]any{"spec": map[string]any{"template": made("", "a:1")}}))
	job.Resource = metav1.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	crowded := made("", "a:1")
	for range 150 {
		crowded.Spec.ImagePullSecrets = append(crowded.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: "some-secret"})
	}
	for name, tc := range map[string]struct {
		req               *admissionv1.AdmissionRequest
		resolved, scanned []string
	}{
		"a Pod of a controller": {of("rs-controller", create(t, made("web-5c", "a:1"))),
			[]string{"a:1|rs-controller||web-5c|"}, []string{"a@" + digest + "|rs-controller||web-5c|a:1"}},
		"a Pod of its own": {of("anna", create(t, made("", "a:1", "b@"+digest))),
			[]string{"a:1|anna|p||"}, []string{"a@" + digest + "|anna|p||a:1", "b@" + digest + "|anna|p||"}},
		"one image in two spellings": {of("anna", create(t, made("", "a:1", "a@"+digest))),
			[]string{"a:1|anna|p||"}, []string{"a@" + digest + "|anna|p||", "a@" + digest + "|anna|p||a:1"}},
		"a name that is to be made":  {of("anna", create(t, generated)), []string{"a:1|anna|run-||"}, []string{"a@" + digest + "|anna|run-||a:1"}},
		"another kind of controller": {of("argo", create(t, foreign)), []string{"a:1|argo|p||"}, []string{"a@" + digest + "|argo|p||a:1"}},
		"a Pod that exists":          {of("anna", update(t, made("web-5c", "b:1"), made("web-5c", "a:1"))), []string{"a:1|anna|p||"}, []string{"a@" + digest + "|anna|p||a:1"}},
		"a dry run":                  {dry, []string{"a:1||||"}, nil},
		"a workload":                 {job, []string{"a:1||||"}, []string{"a@" + digest + "||||"}},
		"no namespace":               {none, []string{"a:1||||"}, []string{"a@" + digest + "||||"}},
		"no user":                    {of("", create(t, made("", "a:1"))), []string{"a:1||||"}, []string{"a@" + digest + "||||"}},
		"no room in the key":         {of(strings.Repeat("u", 300), create(t, crowded)), []string{"a:1||||"}, []string{"a@" + digest + "||||"}},
		"a long and hostile name": {of("<\n>"+strings.Repeat("u", 300), create(t, made("", "a:1"))),
			[]string{"a:1|< >" + strings.Repeat("u", 250) + "...|p||"}, []string{"a@" + digest + "|< >" + strings.Repeat("u", 250) + "...|p||a:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, on := range []bool{true, false} {
				p, s := known(), settings()
				s.Attempts, s.Workloads = on, []string{"Job"}
				admit.New(p, s).Admit(t.Context(), tc.req)
				if on && (!slices.Equal(said(p.resolved), tc.resolved) || !slices.Equal(said(p.scanned), tc.scanned)) {
					t.Errorf("resolved %q,\nscanned %q", said(p.resolved), said(p.scanned))
				}
				for _, k := range slices.Concat(p.resolved, p.scanned) {
					if !on && (k.User != "" || k.Pod != "" || k.Original != "") {
						t.Errorf("told although it is off: %s", k)
					}
					if _, err := wire.ParseKey(k.String()); err != nil || len(k.String()) > 2048 && !strings.Contains(name, "no room") {
						t.Errorf("%d bytes, %v", len(k.String()), err)
					}
				}
			}
		})
	}
}

// TestPodsOfNoOwnerShareATurnWhoeverMakesThem: what is told of them is not what
// they wait for.
func TestPodsOfNoOwnerShareATurnWhoeverMakesThem(t *testing.T) {
	p, s := known(), settings()
	s.Attempts, s.MaxWaiting = true, 1
	release, both := make(chan struct{}), make(chan struct{}, 2)
	p.reports = waitFor(both, release)
	a := admit.New(p, s)
	results := make(chan admit.WaitResult)
	for _, name := range []string{"one", "two"} {
		object := pod("a:1")
		object.Name = name
		req := create(t, object)
		req.UserInfo.Username = name
		go func() { results <- a.Admit(t.Context(), req).Wait }()
		<-both
	}
	close(release)
	for range 2 {
		if r := <-results; r != admit.WaitFinal {
			t.Errorf("it ended as %s", r)
		}
	}
}

// waitFor tells that a question has come and answers it when release is closed.
func waitFor(came chan<- struct{}, release <-chan struct{}) func(context.Context, time.Duration) {
	return func(context.Context, time.Duration) {
		came <- struct{}{}
		<-release
	}
}
