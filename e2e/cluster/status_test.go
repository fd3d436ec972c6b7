package cluster

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestTaken(t *testing.T) {
	for _, tc := range []struct {
		name, status  string
		taken, refuse bool
	}{
		{name: "nothing yet", status: "{}"},
		{name: "one process", status: "{byPod: [{id: a, observedGeneration: 2}]}"},
		{name: "both", status: "{byPod: [{id: a, observedGeneration: 2}, {id: b, observedGeneration: 2}]}", taken: true},
		{name: "one is behind", status: "{byPod: [{id: a, observedGeneration: 2}, {id: b, observedGeneration: 1}]}"},
		{name: "not enforced", status: "{byPod: [{id: a, observedGeneration: 2, enforced: true}, {id: b, observedGeneration: 2, enforced: false}]}"},
		{name: "not active", status: "{byPod: [{id: a, observedGeneration: 2, active: false}, {id: b, observedGeneration: 2}]}"},
		{
			name:   "an error",
			status: "{byPod: [{id: a, observedGeneration: 2}, {id: b, observedGeneration: 2, errors: [{message: no}]}]}",
			refuse: true,
		},
		{
			name:   "an error of the generation before",
			status: "{byPod: [{id: a, observedGeneration: 2}, {id: b, observedGeneration: 1, errors: [{message: no}]}]}",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := "{apiVersion: v1, kind: X, metadata: {name: x, generation: 2}, status: " + tc.status + "}"
			data, err := yaml.YAMLToJSON([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			obj := &unstructured.Unstructured{}
			if err := obj.UnmarshalJSON(data); err != nil {
				t.Fatal(err)
			}
			err = taken(obj)
			if (err == nil) != tc.taken {
				t.Errorf("taken: %v, want %v", err, tc.taken)
			}
			var refused refusedError
			if errors.As(err, &refused) != tc.refuse {
				t.Errorf("refused: %v, want %v", err, tc.refuse)
			}
		})
	}
}
