package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/store"
)

const tagBytes = 64 << 10

func newTags(t *testing.T) *store.Tags {
	t.Helper()
	tags, err := store.NewTags(tagBytes)
	if err != nil {
		t.Fatal(err)
	}
	return tags
}

func saw(t *testing.T, tags *store.Tags, namespace, tag, digest string) {
	t.Helper()
	if err := tags.Saw(t.Context(), namespace, tag, digest); err != nil {
		t.Fatal(err)
	}
}

func means(t *testing.T, tags *store.Tags, namespace, tag, digest string) bool {
	t.Helper()
	ok, err := tags.Means(t.Context(), namespace, tag, digest)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestTagsRememberEveryDigestATagHasMeant(t *testing.T) {
	tags := newTags(t)
	saw(t, tags, "shop", "r.example/shop:1", "sha256:a")
	saw(t, tags, "shop", "r.example/shop:1", "sha256:b")
	for _, tc := range []struct {
		tag, digest string
		want        bool
	}{
		{"r.example/shop:1", "sha256:a", true},
		{"r.example/shop:1", "sha256:b", true},
		{"r.example/shop:1", "sha256:c", false},
		{"r.example/shop:2", "sha256:a", false},
		{"s.example/shop:1", "sha256:a", false},
	} {
		if got := means(t, tags, "other", tc.tag, tc.digest); got != tc.want {
			t.Errorf("%s means %s: %v, want %v", tc.tag, tc.digest, got, tc.want)
		}
	}
}

func TestTagsAreBoundedAndFairByNamespace(t *testing.T) {
	tags := newTags(t)
	saw(t, tags, "quiet", "r.example/quiet:1", "sha256:a")
	saw(t, tags, "quiet", "r.example/both:1", "sha256:b")
	for i := range 5000 {
		saw(t, tags, "loud", fmt.Sprintf("r.example/%s:%d", strings.Repeat("x", 200), i), "sha256:a")
		if i == 0 {
			saw(t, tags, "loud", "r.example/both:1", "sha256:b")
		}
	}
	if got := tags.Bytes(); got > tagBytes {
		t.Errorf("%d bytes are held, over the limit of %d", got, tagBytes)
	}
	if !means(t, tags, "quiet", "r.example/quiet:1", "sha256:a") {
		t.Error("one namespace flushed another's tag")
	}
	if !means(t, tags, "loud", "r.example/both:1", "sha256:b") {
		t.Error("a pair that two namespaces hold went with the first of them")
	}
}

func TestTagsForgetTheLeastRecentlyUsed(t *testing.T) {
	tags := newTags(t)
	saw(t, tags, "shop", "r.example/first:1", "sha256:a")
	saw(t, tags, "shop", "r.example/second:1", "sha256:a")
	for i := range 300 {
		saw(t, tags, "shop", fmt.Sprintf("r.example/more:%d", i), "sha256:a")
		means(t, tags, "shop", "r.example/first:1", "sha256:a")
	}
	for i := range 300 {
		saw(t, tags, "shop", fmt.Sprintf("r.example/more:%d", i+300), "sha256:a")
		means(t, tags, "shop", "r.example/first:1", "sha256:a")
	}
	if !means(t, tags, "shop", "r.example/first:1", "sha256:a") || means(t, tags, "shop", "r.example/second:1", "sha256:a") {
		t.Error("what is asked about went before what nobody asks about")
	}
}

func TestManyNamespacesStayWithinTheBound(t *testing.T) {
	tags := newTags(t)
	for i := range 2000 {
		saw(t, tags, fmt.Sprintf("namespace-%d", i), "r.example/shop:1", "sha256:a")
	}
	if got := tags.Bytes(); got <= 0 || got > tagBytes {
		t.Errorf("%d bytes are held, over the limit of %d", got, tagBytes)
	}
	if !means(t, tags, "other", "r.example/shop:1", "sha256:a") {
		t.Error("what many hold was forgotten")
	}
}

func TestTagsNeedABound(t *testing.T) {
	if _, err := store.NewTags(0); err == nil {
		t.Error("no error for a memory without room")
	}
}
