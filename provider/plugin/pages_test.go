package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/imagegate/imagegate/provider/exit"
)

func provider(namespace, name, port string, ready corev1.ConditionStatus) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{}}}
	if port != "" {
		p.Annotations[viewPort] = port
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	return p
}

func TestThePodWithThePages(t *testing.T) {
	ending := provider("a", "ending", "8090", corev1.ConditionTrue)
	ending.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	ready := provider("a", "ready", "8090", corev1.ConditionTrue)
	for name, tc := range map[string]struct {
		pods []corev1.Pod
		want string
	}{
		"none":           {nil, "imagegate is not installed there"},
		"no pages":       {[]corev1.Pod{provider("a", "p", "", corev1.ConditionTrue)}, "set view.enabled"},
		"not ready":      {[]corev1.Pod{provider("a", "p", "8090", corev1.ConditionFalse)}, "of 1 Pods of imagegate none is ready"},
		"ending":         {[]corev1.Pod{ending}, "set view.enabled"},
		"two namespaces": {[]corev1.Pod{ready, provider("b", "p", "8090", corev1.ConditionTrue)}, "in the namespaces a, b: choose one by --provider-namespace"},
		"no port":        {[]corev1.Pod{provider("a", "p", "x", corev1.ConditionTrue)}, viewPort},
		"the ready one":  {[]corev1.Pod{ending, provider("a", "p", "8090", corev1.ConditionFalse), ready}, ""},
	} {
		p, port, err := serving(tc.pods)
		switch {
		case tc.want == "":
			if err != nil || p.Name != "ready" || port != 8090 {
				t.Errorf("%s: %v %d %v", name, p, port, err)
			}
		case err == nil || !strings.Contains(err.Error(), tc.want):
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

// A list of several pages is read to its end, and one that has none is not for ever.
func TestAListIsReadWhole(t *testing.T) {
	answers := map[string]string{
		"/running.json?namespace=shop&size=1000": `{"rows": [{"workload": "a"}], "total": 2, "next": "/running.json?page=2", "warnings": ["one"]}`,
		"/running.json?page=2":                   `{"rows": [{"workload": "b"}], "total": 2, "warnings": ["two"]}`,
		"/endless.json?size=1000":                `{"rows": [], "total": 2, "next": "/endless.json?size=1000", "warnings": []}`,
		"/broken.json?size=1000":                 `{"rows": `,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := answers[r.URL.RequestURI()]; ok {
			_, _ = fmt.Fprint(w, a)
			return
		}
		http.Error(w, "The parameter \x1b[31mis wrong", http.StatusBadRequest)
	}))
	t.Cleanup(s.Close)
	list, err := readAll(t.Context(), s.URL, "/running", url.Values{"namespace": {"shop"}})
	if err != nil || len(list.Rows) != 2 || list.Rows[1]["workload"] != "b" || list.Total != 2 || len(list.Warnings) != 1 || list.Warnings[0] != "two" {
		t.Errorf("%+v, %v", list, err)
	}
	for path, want := range map[string]string{"/endless": "no end", "/broken": "reading the report pages", "/other": "400 Bad Request: The parameter"} {
		if _, err := readAll(t.Context(), s.URL, path, url.Values{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Where the pages are reached already no cluster is asked.
func TestPagesAtAnAddress(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nowhere")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, `{"rows": [{"namespace": "shop", "workload": %q}], "total": 1, "warnings": []}`, r.URL.RequestURI())
	}))
	t.Cleanup(s.Close)
	var out, errs bytes.Buffer
	if code := Main([]string{"get", "-A", "--pages", s.URL + "/"}, &out, &errs); code != 0 || !strings.Contains(out.String(), "/running.json?size=1000") {
		t.Errorf("%d %s %s", code, &out, &errs)
	}
}

func TestATableForPeople(t *testing.T) {
	var b bytes.Buffer
	err := table(&b, running("WHY", "message"), []map[string]any{{
		"namespace": "shop", "workload": "Deployment/web", "image": "r.example/a:1", "status": nil, "pods": 3.0,
		"since": time.Now().Add(-3 * time.Hour).Format(time.RFC3339), "message": "one\nmore; and \x1b[31mred",
	}})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 3 || strings.Join(strings.Fields(lines[0]), " ") != "NAMESPACE WORKLOAD IMAGE VERDICT PODS AGE WHY" {
		t.Errorf("%q", lines)
	}
	if got := strings.Join(strings.Fields(lines[1]), " "); !strings.HasPrefix(got, "shop Deployment/web r.example/a:1 not known 3 3h one") || !strings.Contains(got, "more; and") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

// That there is no row is an answer only where all is known.
func TestNothingIsNoGoodNewsWhileNotAllIsKnown(t *testing.T) {
	for _, tc := range []struct {
		answered
		failed bool
	}{
		{answered{Total: 0}, false}, {answered{Total: 1, Warnings: []string{"w"}}, false}, {answered{Total: 0, Warnings: []string{"w"}}, true},
	} {
		err := tc.nothing("there is none")
		if e, ok := errors.AsType[*exit.Error](err); (err != nil) != tc.failed || tc.failed && (!ok || e.Code != failedCode) {
			t.Errorf("%+v: %v", tc.answered, err)
		}
	}
}

func TestWhatIsAskedFor(t *testing.T) {
	for name, want := range map[string]string{
		"CVE-2021-44228":                        "vulnerability=CVE-2021-44228",
		"pkg:openssl":                           "package=openssl",
		"pkg:deb/debian/openssl@3.0.1?arch=all": "package=openssl",
		"pkg:golang/golang.org/x/text@v0.3.5":   "package=golang.org%2Fx%2Ftext",
		"pkg:golang.org/x/text":                 "package=golang.org%2Fx%2Ftext",
		"pkg:npm/%40babel/core@7.0.0":           "package=%40babel%2Fcore",
		"pkg:maven/org.apache/log4j-core@2.14":  "package=log4j-core",
	} {
		if q, err := finding(name); err != nil || q.Encode() != want {
			t.Errorf("%s: %s, %v, want %s", name, q.Encode(), err, want)
		}
	}
	if _, err := finding("pkg:"); err == nil {
		t.Error("no package is one")
	}
}

func TestAnExceptionIsPrinted(t *testing.T) {
	run := func(args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		code := Main(append([]string{"except"}, args...), &out, &errs)
		return out.String(), errs.String(), code
	}
	out, errs, code := run("CVE-2026-1", "--image", "r.example/shop", "--package", "openssl", "--in-namespace", "shop", "--until", "2026-12-31", "--reason", "not reachable")
	if want := "- cve: CVE-2026-1\n  expires: \"2026-12-31\"\n  images:\n  - r.example/shop\n  namespaces:\n  - shop\n  packages:\n  - openssl\n  reason: not reachable\n"; code != 0 || out != want {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if out, _, code := run("CVE-2026-1", "--image", "r.example/shop", "--reason", "r"); code != 0 || !strings.Contains(out, "expires: \""+time.Now().UTC().AddDate(0, 0, 14).Format(time.DateOnly)) {
		t.Errorf("%d %s", code, out)
	}
	for _, tc := range []struct{ args, want string }{
		{"CVE-2026-1 --image https://r.example/shop --reason r", "images"},
		{"CVE-2026-* --image r.example/shop --reason r", "cve"},
		{"CVE-2026-1 --image r.example/shop", "reason"},
		{"CVE-2026-1 --image r.example/shop --reason r --until soon", "expires"},
	} {
		if out, errs, code := run(strings.Fields(tc.args)...); code != failedCode || out != "" || !strings.Contains(errs, tc.want) {
			t.Errorf("%s: %d %s %s", tc.args, code, out, errs)
		}
	}
}

func TestWrongValuesAreRefusedBeforeAnythingIsAsked(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nowhere")
	for args, want := range map[string]string{
		"get --status bad": `must be one of rejected, scan_failed`, "exceptions --state bad": "must be one of expired", "get -o xml": "must be json or yaml",
		"affected": "1 arg", "affected pkg:": "which package", "get": "there is no kubeconfig", "ui": "there is no kubeconfig", "what-if": "what would be otherwise",
		"get -A --pages localhost:8090": "--pages localhost:8090: must be an address", "exceptions --pages http://127.0.0.1:1/images": "must be an address",
	} {
		var out, errs bytes.Buffer
		if code := Main(strings.Fields(args), &out, &errs); code != failedCode || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: %d %s", args, code, errs.String())
		}
	}
}
