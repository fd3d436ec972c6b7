package inventory

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func snapshotOf(pods ...*corev1.Pod) *Snapshot {
	b := newBuilder(newOwners(10))
	for _, p := range pods {
		b.add(p.Namespace, newRecord(p))
	}
	return b.snapshot(State{Phase: Complete}, nil)
}

func TestWhatIsKeptOfAPod(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: "p", CreationTimestamp: metav1.NewTime(began),
		Annotations: map[string]string{
			"original-image.imagegate.dev/app": "a:1", "volume.original-image.imagegate.dev/data": "v:1", "other": "secret",
		},
	}}
	p.Spec = corev1.PodSpec{
		InitContainers:      []corev1.Container{{Name: "init", Image: "a@" + digest(1)}},
		Containers:          []corev1.Container{{Name: "app", Image: "a@" + digest(1)}, {Name: "tagged", Image: "b:1"}, {Name: "starting", Image: "c:1"}, {Name: "moved", Image: "d@" + digest(4)}},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "dbg", Image: "e:1@" + digest(5)}}},
		Volumes:             []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "v@" + digest(6)}}}, {Name: "none"}},
	}
	p.Status = corev1.PodStatus{
		InitContainerStatuses: []corev1.ContainerStatus{{Name: "init", ImageID: "docker.io/library/a@" + digest(1)}},
		ContainerStatuses: []corev1.ContainerStatus{
			{Name: "app", ImageID: "docker-pullable://a@" + digest(1)}, {Name: "tagged", ImageID: "b@" + digest(2)},
			{Name: "starting", ImageID: digest(3)}, // a configuration's, by which no report is found
			{Name: "moved", ImageID: "d@" + digest(7)},
		},
	}
	s := snapshotOf(p)
	w := Workload{"shop", "Pod", "p"}
	place := func(image, original, pinned, running string, containers ...Container) Place {
		return Place{Workload: w, Image: image, Original: original, Pinned: pinned, Running: running, Containers: containers, Pods: 1, Since: began}
	}
	moved := place("d@"+digest(4), "", digest(4), digest(7), Container{AsContainer, "moved"})
	for d, want := range map[string][]Place{
		digest(1): {
			place("a@"+digest(1), "", digest(1), digest(1), Container{AsInitContainer, "init"}),
			place("a@"+digest(1), "a:1", digest(1), digest(1), Container{AsContainer, "app"}),
		},
		digest(2): {place("b:1", "", "", digest(2), Container{AsContainer, "tagged"})},
		digest(3): nil,
		digest(4): {moved},
		digest(5): {place("e:1@"+digest(5), "", digest(5), "", Container{AsEphemeralContainer, "dbg"})},
		digest(6): {place("v@"+digest(6), "v:1", digest(6), "", Container{AsVolume, "data"})},
		digest(7): {moved},
	} {
		var got []Place
		if i, ok := s.Image(d); ok {
			for _, p := range i.Places {
				got = append(got, *p)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", d, got, want)
		}
	}
	if u := s.Undetermined(); len(u) != 1 || u[0].Image != "c:1" {
		t.Errorf("undetermined %+v", u)
	}
}

// TestStrippedIsAllThatIsRead: a Pod that came in a page is the same record.
func TestStrippedIsAllThatIsRead(t *testing.T) {
	p := aPod("shop", "web-5c-1", controlledBy("apps/v1", "ReplicaSet", "web-5c"), "x@"+digest(1), time.Hour)
	p.Labels = map[string]string{"pod-template-hash": "5c", "other": "x"}
	p.Annotations = map[string]string{"original-image.imagegate.dev/app": "x:1", "volume.original-image.imagegate.dev/v": "v:1", "other": "x"}
	p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "PASSWORD", Value: "x"}}
	p.Spec.InitContainers = []corev1.Container{{Name: "i", Image: "i:1"}}
	p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e", Image: "e:1"}}}
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "v:2"}}}, {Name: "w"}}
	p.Status.EphemeralContainerStatuses = []corev1.ContainerStatus{{Name: "e", ImageID: "e@" + digest(2)}}
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "i", ImageID: "i@" + digest(3)}}
	s := stripped(p)
	if !reflect.DeepEqual(newRecord(&s), newRecord(p)) {
		t.Errorf("%+v, want %+v", newRecord(&s), newRecord(p))
	}
	if s.Spec.Containers[0].Env != nil || len(s.Annotations) != 2 || len(s.Labels) != 1 {
		t.Errorf("kept: %+v", s)
	}
}

func TestWhatAuthorsWriteIsBoundedAndCleaned(t *testing.T) {
	p := aPod("shop", "p", nil, "x\x1b[2J"+strings.Repeat("y", 100<<10)+"@"+digest(1), 0)
	p.Annotations = map[string]string{"original-image.imagegate.dev/app": strings.Repeat("z", 100<<10)}
	for range 2 * maxUses {
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "i", Image: "i:1"})
	}
	r := newRecord(p)
	if len(r.uses) != maxUses || r.bytes > maxUses*(useOverhead+MaxText) {
		t.Errorf("%d uses, %d bytes", len(r.uses), r.bytes)
	}
	i, ok := snapshotOf(p).Image(digest(1))
	if !ok {
		t.Fatal("the digest behind a long name is not found")
	}
	if at := i.Places[0]; len(at.Image) > MaxText || len(at.Original) > MaxText || strings.ContainsRune(at.Image, 0x1b) {
		t.Errorf("kept: %.80q %.80q", at.Image, at.Original)
	}
}

func TestDigestOf(t *testing.T) {
	for in, want := range map[string]string{
		"":                                 "",
		"x:1":                              "",
		"x@" + digest(1):                   digest(1),
		"docker-pullable://x@" + digest(1): digest(1),
		"a@b@" + digest(1):                 digest(1),
		digest(1):                          "",
		"x@sha256:abc":                     "",
		"x@" + strings.ToUpper(digest(10)): "",
	} {
		if got := digestOf(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestAPlaceCountsAPodOnce whatever number of its containers have the image.
func TestAPlaceCountsAPodOnce(t *testing.T) {
	p := aPod("shop", "p", nil, "x@"+digest(1), 0)
	p.Status = corev1.PodStatus{}
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "again", Image: "x@" + digest(1)})
	i, _ := snapshotOf(p).Image(digest(1))
	if len(i.Places) != 1 || i.Pods != 1 || !slices.Equal(i.Places[0].Containers, []Container{{AsContainer, "again"}, {AsContainer, "app"}}) {
		t.Errorf("%+v", i.Places[0])
	}
}
