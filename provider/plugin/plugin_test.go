package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"
)

const two = `pods "shop-1" is forbidden: admission webhook "validation.gatekeeper.sh" denied the request: [accepted-only] Image 'a:1' REJECTED. Global default policy - scan result is 'reject': CVE-2022-32149 (High) in golang.org/x/text v0.3.5, fixed in 0.3.8.
[mine] a:1 is not ours`

func TestDenials(t *testing.T) {
	for _, tc := range []struct {
		name, message string
		want          []denial
	}{
		{"of two constraints", two, []denial{
			{Webhook: "validation.gatekeeper.sh", Constraint: "accepted-only", Message: "Image 'a:1' REJECTED. Global default policy - scan result is 'reject': CVE-2022-32149 (High) in golang.org/x/text v0.3.5, fixed in 0.3.8.", Do: advice("scan result is 'reject'")},
			{Webhook: "validation.gatekeeper.sh", Constraint: "mine", Message: "a:1 is not ours"},
		}},
		{"of the mutator", `Error creating: admission webhook "mutation.imagegate.dev" denied the request: cannot pin image 'a:1' of container 'a': there is no such tag`, []denial{
			{Webhook: "mutation.imagegate.dev", Message: "cannot pin image 'a:1' of container 'a': there is no such tag", Do: advice("cannot pin image")},
		}},
		{"of a webhook that writes brackets", `admission webhook "w" denied the request: no [thing] here`, []denial{{Webhook: "w", Message: "no [thing] here"}}},
		{"something else", `pods "a" is forbidden: exceeded quota: q`, nil},
		{"nothing", "", nil},
	} {
		if got := denials(tc.message); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

// What is advised goes by parts of messages that policies and mutator have.
func TestAdviceIsOfMessagesThatThereAre(t *testing.T) {
	var sources strings.Builder
	for _, dir := range []string{"../../templates", "../../mutator"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || strings.Contains(path, "_test.") || filepath.Ext(path) != ".rego" && filepath.Ext(path) != ".go" {
				return err
			}
			b, err := os.ReadFile(path)
			sources.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range advised() {
		if !strings.Contains(strings.ToLower(sources.String()), a.part) {
			t.Errorf("no message has %q", a.part)
		}
	}
}

// object is one as cli-runtime gives it.
func object(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: prod, uid: d}
spec: {template: {metadata: {labels: {app: shop}}, spec: {containers: [{name: shop, image: "a:1"}]}}}
`

func TestWhy(t *testing.T) {
	controller := true
	minute := metav1.NewTime(time.Now().Add(-time.Minute))
	hour := metav1.NewTime(time.Now().Add(-time.Hour))
	set := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-1", Namespace: "prod", UID: "r", OwnerReferences: []metav1.OwnerReference{{Kind: "Deployment", Name: "shop", UID: "d", Controller: &controller}}},
		Status:     appsv1.ReplicaSetStatus{Conditions: []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, LastTransitionTime: hour, Message: two}}},
	}
	event := func(name, message string) *corev1.Event {
		return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "prod"}, InvolvedObject: corev1.ObjectReference{UID: "r"}, Count: 7, LastTimestamp: minute, Message: message}
	}
	client := fake.NewClientset(set, event("e", two))
	client.PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "shop-1", errors.New(strings.TrimPrefix(two, `pods "shop-1" is forbidden: `)))
	})
	a := why(t.Context(), client, &warnings{}, object(t, deployment), true)
	if len(a.Unknown) > 0 || len(a.Denials) != 2 || a.Denials[0].Count != 7 || !a.Denials[0].Last.Equal(minute.Time) || a.Now == nil || a.Now.Allowed || len(a.Now.Denials) != 2 {
		t.Errorf("%+v, now %+v", a, a.Now)
	}
	if err := outcome([]answer{a}); err == nil || err.Error() != "exit code 1" {
		t.Errorf("outcome: %v", err)
	}
	var text bytes.Buffer
	if err := tell(&text, []answer{a}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Deployment prod/shop", "now: denied", "by constraint accepted-only: Image 'a:1' REJECTED", "Build the image with the fixed versions", "denied 7 times, last 6", "as now"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
}

// What could not be looked at is no good news.
func TestWhyWithoutRights(t *testing.T) {
	client := fake.NewClientset()
	deny := func(verb, resource string) {
		client.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New(`User "eve" cannot `+verb+` resource "`+resource+`": cannot create resource`))
		})
	}
	deny("list", "replicasets")
	deny("list", "events")
	deny("create", "pods")
	a := why(t.Context(), client, &warnings{}, object(t, deployment), true)
	if a.Now != nil || len(a.Unknown) != 2 {
		t.Errorf("%+v", a)
	}
	if err := outcome([]answer{a}); err == nil || !strings.Contains(err.Error(), "no good news") {
		t.Errorf("outcome: %v", err)
	}
	b, err := json.Marshal(a)
	if err != nil || !strings.Contains(string(b), `"now":null`) {
		t.Errorf("%s, %v", b, err)
	}
}

// Events are written by tenants, and terminals obey what they read.
func TestNothingThatATerminalObeysIsPrinted(t *testing.T) {
	var text bytes.Buffer
	evil := "a\x1b[2J\r\u202eb"
	if err := tell(&text, []answer{{Kind: "Deployment", Name: "shop", Denials: []denial{{Webhook: "w", Message: evil}}, Unknown: []string{evil}, Now: &now{Message: evil, Warnings: []string{evil}}}}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text.String(), "\x1b\r\u202e") || strings.Count(text.String(), "a [2J") != 4 {
		t.Errorf("%q", text.String())
	}
}

// A quota keeps a Pod out as a policy does.
func TestWhatIsNoDenialOfAWebhook(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "shop", errors.New("exceeded quota: pods"))
	})
	a := why(t.Context(), client, &warnings{}, object(t, deployment), true)
	if a.Now == nil || a.Now.Allowed || !strings.Contains(a.Now.Message, "exceeded quota") {
		t.Errorf("%+v", a.Now)
	}
}

func TestPodOf(t *testing.T) {
	for name, manifest := range map[string]string{
		"a Pod":     "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: node-1, containers: [{name: a, image: b}]}}",
		"a Job":     "{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {containers: [{name: a, image: b}]}}}}",
		"a CronJob": "{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: b}]}}}}}}",
		"another":   "{apiVersion: example.com/v1, kind: Rollout, metadata: {name: a}, spec: {template: {spec: {containers: [{name: a, image: b}]}}}}",
	} {
		p, err := podOf(object(t, manifest))
		if err != nil || p.Spec.Containers[0].Image != "b" || p.Spec.NodeName != "" || p.GenerateName != "a-" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	for name, manifest := range map[string]string{
		"a Service": "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {}}",
		"an empty":  "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: {spec: {}}}}",
		"nonsense":  "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {template: 1}}",
	} {
		if p, err := podOf(object(t, manifest)); err == nil {
			t.Errorf("%s has the Pod %+v", name, p)
		}
	}
}

// Ctrl-C ends it in a moment, whatever it waits for.
func TestCtrlC(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	asked, over := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-over
	}))
	defer server.Close()
	defer close(over)
	cache, err := os.MkdirTemp("", "imagegate-ctrl-c-") // what is given up may still write there
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(cache) }()
	var stdout, stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- Main([]string{"why", "deployment/shop", "--server", server.URL, "--cache-dir", cache}, &stdout, &stderr)
	}()
	<-asked
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-code:
		if got != 130 || stderr.String() != "interrupted\n" || stdout.Len() > 0 {
			t.Errorf("exit code %d, %q, %q", got, &stderr, &stdout)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
}

func TestMistakesAtTheCommandLine(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"why", "deployment/shop"}, "error: there is no kubeconfig: set KUBECONFIG or --kubeconfig\n"},
		{[]string{"why", "deployment/shop", "--kubeconfig", "/no/such"}, "error: stat /no/such: no such file or directory\n"},
		{[]string{"why", "deployment/shop", "--naemspace=a"}, "error: unknown flag: --naemspace: did you mean --namespace?\n"},
		{[]string{"why", "deployment/shop", "-o", "wide"}, "error: -o wide: must be json or yaml, or left out\n"},
		{[]string{"why", "deployment/shop", "--server", "http://127.0.0.1:1", "--cache-dir", t.TempDir()}, "error: Get \"http://127.0.0.1:1/"},
		{[]string{"why"}, "error: requires at least 1 arg(s), only received 0\n"},
		{[]string{"wyh"}, "error: unknown command \"wyh\" for \"kubectl imagegate\""},
	} {
		var stdout, stderr bytes.Buffer
		if code := Main(tc.args, &stdout, &stderr); code != failedCode || !strings.HasPrefix(stderr.String(), tc.says) || strings.Count(stderr.String(), "\n") > 1 && tc.args[0] != "wyh" {
			t.Errorf("%v: exit code %d, says %q, want %q", tc.args, code, &stderr, tc.says)
		}
	}
}
