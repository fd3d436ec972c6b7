package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Tags is what is remembered of tags, as one replica has it.
type Tags interface {
	Saw(ctx context.Context, namespace, tag, digest string) error
	Means(ctx context.Context, namespace, tag, digest string) (bool, error)
}

// RunTags is Run for the memory of tags.
func RunTags(t *testing.T, open func(t *testing.T) (join func() Tags)) {
	for name, test := range map[string]func(*testing.T, func() Tags){
		"WhatWasSeenIsKnown":       seen,
		"OthersKnowWhatOneHasSeen": seenByOthers,
		"AReplicaThatJoinsLater":   seenBefore,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func saw(t *testing.T, tags Tags, namespace, tag, digest string) {
	t.Helper()
	if err := tags.Saw(bounded(t), namespace, tag, digest); err != nil {
		t.Fatal(err)
	}
}

func means(t *testing.T, tags Tags, tag, digest string) bool {
	t.Helper()
	ok, err := tags.Means(bounded(t), "other", tag, digest)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// comesToKnow waits until a replica knows.
func comesToKnow(t *testing.T, tags Tags, tag, digest string) {
	t.Helper()
	for began := time.Now(); !means(t, tags, tag, digest); time.Sleep(time.Millisecond) {
		if time.Since(began) > patience {
			t.Fatalf("%s is not known to mean %s", tag, digest)
		}
	}
}

func seen(t *testing.T, join func() Tags) {
	tags := join()
	saw(t, tags, "shop", "r.example/shop:1", Digest(1))
	saw(t, tags, "shop", "r.example/shop:1", Digest(2))
	for tag, want := range map[string]bool{"r.example/shop:1": true, "r.example/shop:2": false, "s.example/shop:1": false} {
		if got := means(t, tags, tag, Digest(1)); got != want {
			t.Errorf("%s is known to mean the first digest: %t", tag, got)
		}
	}
	if !means(t, tags, "r.example/shop:1", Digest(2)) || means(t, tags, "r.example/shop:1", Digest(3)) {
		t.Error("a tag means what it was seen to mean, all of it and no more")
	}
}

func seenByOthers(t *testing.T, join func() Tags) {
	a, b := join(), join()
	for i := range 50 {
		saw(t, a, "shop", fmt.Sprint("r.example/a:", i), Digest(i))
		saw(t, b, "team", fmt.Sprint("r.example/b:", i), Digest(i))
	}
	for i := range 50 {
		comesToKnow(t, b, fmt.Sprint("r.example/a:", i), Digest(i))
		comesToKnow(t, a, fmt.Sprint("r.example/b:", i), Digest(i))
	}
}

func seenBefore(t *testing.T, join func() Tags) {
	a := join()
	saw(t, a, "shop", "r.example/shop:1", Digest(1))
	comesToKnow(t, join(), "r.example/shop:1", Digest(1))
}
