package doctor

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/install/bypod"
	"github.com/imagegate/imagegate/provider/install/finding"
)

// providerObject wants the object by which Gatekeeper finds the provider.
func providerObject(s *snapshot) (found []finding.Finding) {
	r := &s.Release
	if !s.Provider.Done || !s.ExternalData.It {
		return nil
	}
	object := "Provider " + r.Provider
	u := s.Provider.It
	if u == nil {
		return []finding.Finding{{
			ID: finding.ProviderObjectMissing, Severity: finding.Error, Object: object,
			Message: "there is no " + object + ": Gatekeeper can ask nobody, and denies every Pod", Command: s.restart(),
		}}
	}
	differs := func(format string, args ...any) {
		found = append(found, finding.Finding{
			ID: finding.ProviderObjectDiffers, Severity: finding.Error, Object: object, Message: fmt.Sprintf(format, args...), Command: s.restart(),
		})
	}
	text, _, _ := unstructured.NestedString(u.Object, "spec", "caBundle")
	bundle, _ := base64.StdEncoding.DecodeString(text) // Gatekeeper refuses another
	if url, _, _ := unstructured.NestedString(u.Object, "spec", "url"); r.URL != "" && url != r.URL {
		differs("%s has the url %s and not the provider's, %s", object, url, r.URL)
	} else if missing := lacks(bundle, s.Authorities); missing != "" {
		differs("the caBundle of %s lacks %s, by which the provider's certificate is verified: Gatekeeper does not believe its answers", object, missing)
	}
	timeout, _, _ := unstructured.NestedInt64(u.Object, "spec", "timeout")
	if time.Duration(timeout)*time.Second <= r.Budget {
		found = append(found, finding.Finding{
			ID: finding.ProviderShortTimeout, Severity: finding.Error, Object: object,
			Message: fmt.Sprintf("%s has timeout %d, and the provider may take %s (provider.budget): Gatekeeper does not wait for its answer", object, timeout, r.Budget),
			Command: fmt.Sprintf("%s --set provider.timeoutSeconds=%d", s.commands().Imagegate, int(r.Budget/time.Second)+2),
		})
	}
	for _, said := range bypod.Read(u) {
		if said.Problems != "" {
			found = append(found, finding.Finding{
				ID: finding.ProviderObjectRefused, Severity: finding.Error, Object: object,
				Message: fmt.Sprintf("Gatekeeper Pod %s cannot use %s: %s", said.Pod, object, said.Problems),
				Command: "kubectl describe providers.externaldata.gatekeeper.sh " + r.Provider,
			})
		}
	}
	return append(found, authoritiesEnd(s, object, bundle)...)
}

// authoritiesEnd says that no CA of a bundle will be left soon. One that is replaced in
// time has long been joined by its successor.
func authoritiesEnd(s *snapshot, object string, bundle []byte) []finding.Finding {
	var end time.Time
	var life time.Duration
	for _, c := range readCertificates(bundle) {
		if c.NotAfter.After(end) {
			end, life = c.NotAfter, c.NotAfter.Sub(c.NotBefore)
		}
	}
	if end.IsZero() || end.Sub(s.Now) > min(s.Limits.Certificate, life/10) {
		return nil
	}
	return []finding.Finding{ends(s, object, "the CA of "+object, end)}
}

func ends(s *snapshot, object, what string, end time.Time) finding.Finding {
	f := finding.Finding{
		ID: finding.CertificateExpires, Severity: finding.Warning, Object: object,
		Message: what + " ends at " + end.UTC().Format(time.RFC3339), Command: fmt.Sprintf("kubectl -n %s get events --field-selector involvedObject.name=%s-state", s.Release.Namespace, s.Release.Instance),
	}
	if !s.Now.Before(end) {
		f.Severity, f.Message = finding.Error, what+" ended at "+end.UTC().Format(time.RFC3339)
	}
	return f
}

// providerPods wants all replicas ready.
func providerPods(s *snapshot) []finding.Finding {
	if !s.Pods.Done {
		return nil
	}
	r := &s.Release
	ready := 0 // of those that answer
	var not []string
	for i := range s.Pods.It {
		p := &s.Pods.It[i]
		if isReady(p) == 0 {
			not = append(not, p.Name)
		} else if p.Labels[componentLabel] == "provider" {
			ready++
		}
	}
	if ready > 0 && len(not) == 0 {
		return nil
	}
	selector := fmt.Sprintf("-l app.kubernetes.io/instance=%s,app.kubernetes.io/component=provider", r.Name)
	f := finding.Finding{
		ID: finding.ProviderNotReady, Severity: finding.Error, Object: "Pods of the provider in " + r.Namespace,
		Message: "no replica of the provider is ready: every Pod that has to be judged is denied", Command: fmt.Sprintf("kubectl -n %s describe pods %s", r.Namespace, selector),
	}
	switch {
	case ready > 0:
		f.Severity, f.Message = finding.Warning, fmt.Sprintf("%s ready: %s", plural(len(not), "replica of the provider is not", "replicas of the provider are not"), some(not))
	case len(not) == 0:
		f.Message = "the provider has no Pod: every Pod that has to be judged is denied"
		f.Command = fmt.Sprintf("kubectl -n %s get deployments,statefulsets %s", r.Namespace, selector)
	}
	return []finding.Finding{f}
}

// parts are what a replica that answers says does not work. What it says of the
// installation the state says too.
func parts(s *snapshot) (found []finding.Finding) {
	for _, pod := range slices.Sorted(maps.Keys(s.Answers)) {
		a := s.Answers[pod]
		for _, part := range slices.Sorted(maps.Keys(a.Parts)) {
			if part == "installation" {
				continue
			}
			found = append(found, finding.Finding{
				ID: finding.PartNotReady, Severity: finding.Warning, Object: "Pod " + s.Release.Namespace + "/" + pod + " " + part,
				Message: part + ": " + a.Parts[part], Command: fmt.Sprintf("kubectl -n %s logs %s -c provider --tail=50", s.Release.Namespace, pod),
			})
		}
	}
	return found
}

// databases wants vulnerability data that knows of what is new. Of scanners that are
// somebody else's some do not tell its age; the bundled one does.
func databases(s *snapshot) (found []finding.Finding) {
	told := 0
	for _, a := range s.Answers {
		told += len(a.Databases)
	}
	if s.Release.Bundled && len(s.Answers) > 0 && told == 0 {
		found = append(found, unseen("the vulnerability data of the bundled scanner", "", errors.New("no replica says how old it is")))
	}
	for _, pod := range slices.Sorted(maps.Keys(s.Answers)) {
		for scanner, built := range s.Answers[pod].Databases {
			age := s.Now.Sub(built)
			if age <= s.Limits.Database {
				continue
			}
			found = append(found, finding.Finding{
				ID: finding.DatabaseOld, Severity: finding.Warning, Object: "scanner " + scanner,
				Message: fmt.Sprintf("the vulnerability data of scanner %s is of %s, %s old: what was found since is not known", scanner, built.UTC().Format(time.RFC3339), plural(int(age/(24*time.Hour)), "day", "days")),
				Command: fmt.Sprintf("kubectl -n %s logs %s --all-containers --tail=100", s.Release.Namespace, pod),
			})
		}
	}
	return found
}

// certificates wants those that replicas use to last.
func certificates(s *snapshot) (found []finding.Finding) {
	for _, pod := range slices.Sorted(maps.Keys(s.Answers)) {
		a := s.Answers[pod]
		for _, part := range slices.Sorted(maps.Keys(a.Ends)) {
			if end := a.Ends[part]; end.Sub(s.Now) < s.Limits.Certificate {
				found = append(found, ends(s, "Pod "+s.Release.Namespace+"/"+pod+" "+part, "the "+part+" of Pod "+pod, end))
			}
		}
	}
	return found
}
