package owner_test

import (
	"strings"
	"testing"

	"github.com/imagegate/imagegate/provider/owner"
)

const uid = "0c8b1e0e-2b8f-4f57-9a51-6d3c2f1f7a10"

func TestParse(t *testing.T) {
	for in, want := range map[string]owner.Reference{
		"apps/v1/ReplicaSet/shop-7d9c/" + uid:             {Kind: owner.ReplicaSet, Name: "shop-7d9c", UID: uid},
		"apps/v1/StatefulSet/db/" + uid:                   {Kind: owner.StatefulSet, Name: "db", UID: uid},
		"apps/v1/DaemonSet/log.agent/u":                   {Kind: owner.DaemonSet, Name: "log.agent", UID: "u"},
		"batch/v1/Job/backup-29/" + uid:                   {Kind: owner.Job, Name: "backup-29", UID: uid},
		"v1/ReplicationController/old/" + uid:             {Kind: owner.ReplicationController, Name: "old", UID: uid},
		"batch/v1/Job/" + strings.Repeat("a", 253) + "/u": {Kind: owner.Job, Name: strings.Repeat("a", 253), UID: "u"},
	} {
		got, err := owner.Parse(in)
		if err != nil || got != want || got.String() != in {
			t.Errorf("Parse(%q) = %+v (%s), %v, want %+v", in, got, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "is not apiVersion/kind/name/uid",
		"ReplicaSet/a/u":                    "is not apiVersion/kind/name/uid",
		"x/apps/v1/ReplicaSet/a/u":          "is not apiVersion/kind/name/uid",
		"apps/v1/Deployment/a/u":            `owner kind "Deployment" of "apps/v1" must be one of apps/v1/ReplicaSet`,
		"apps/v1beta1/ReplicaSet/a/u":       "must be one of",
		"v1/ReplicaSet/a/u":                 "must be one of",
		"apps/v1/ReplicationController/a/u": "must be one of",
		"apps/v1/replicaset/a/u":            "must be one of",
		"apps/v1/ReplicaSet//u":             "owner name",
		"apps/v1/ReplicaSet/../u":           "owner name",
		"apps/v1/ReplicaSet/A/u":            "owner name",
		"apps/v1/ReplicaSet/a%2Fstatus/u":   "owner name",
		"apps/v1/ReplicaSet/" + strings.Repeat("a", 254) + "/u": "owner name",
		"apps/v1/ReplicaSet/a/":                                 "owner uid",
		"apps/v1/ReplicaSet/a/u u":                              "owner uid",
		"apps/v1/ReplicaSet/a/" + strings.Repeat("u", 65):       "owner uid",
	} {
		if got, err := owner.Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %+v, error %v lacks %q", in, got, err, want)
		}
	}
}

func TestNoneIsEmpty(t *testing.T) {
	if s := (owner.Reference{}).String(); s != "" {
		t.Errorf("no owner is %q", s)
	}
}

// What the mutator builds out of a Pod, the provider can read.
func FuzzNew(f *testing.F) {
	f.Add("apps/v1", "ReplicaSet", "a", "u")
	f.Add("v1", "ReplicationController", "a.b-c", uid)
	f.Add("batch/v1", "Job", "../x", "u/u")
	f.Fuzz(func(t *testing.T, apiVersion, kind, name, uid string) {
		r, err := owner.New(apiVersion, kind, name, uid)
		if err != nil {
			return
		}
		if got, err := owner.Parse(r.String()); err != nil || got != r {
			t.Errorf("%+v -> %q -> %+v, %v", r, r.String(), got, err)
		}
		if strings.ContainsAny(name+uid, "/?#%&\n ") || len(r.String()) > 400 {
			t.Errorf("taken: %q", r.String())
		}
	})
}
