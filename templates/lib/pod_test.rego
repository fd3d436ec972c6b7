package lib.pod_test

import data.lib.fixtures_test as fixtures
import data.lib.pod
import future.keywords

spec := {
	"initContainers": [{"name": "init", "image": "a"}],
	"containers": [{"name": "app", "image": "b", "volumeMounts": []}],
	"ephemeralContainers": [{"name": "debug", "image": "c"}],
	"volumes": [{"name": "models", "image": {"reference": "d", "pullPolicy": "Always"}}, {"name": "tmp", "emptyDir": {}}],
}

judged(review) := found if {
	found := {[e.field, e.name, e.image] | some e in pod.judged} with input as {"review": review}
}

all := {
	["initContainers", "init", "a"],
	["containers", "app", "b"],
	["ephemeralContainers", "debug", "c"],
	["volumes", "models", "d"],
}

test_every_place_is_judged if judged(fixtures.review(fixtures.pod_with(spec))) == all

test_a_container_object_is_the_container if {
	some entry in pod.judged with input.review as fixtures.review(fixtures.pod_with(spec))
	entry.container == spec.containers[0]
}

test_a_volume_reads_as_a_container if {
	some entry in pod.judged with input.review as fixtures.review(fixtures.pod_with(spec))
	entry.container == {"name": "models", "image": "d", "imagePullPolicy": "Always", "volume": spec.volumes[0]}
}

test_malformed_entries_are_judged if {
	judged(fixtures.review(fixtures.pod_with({"containers": ["x", {"name": "n", "image": 7}, {"image": null}], "volumes": [{"name": "v", "image": {}}]}))) == {
		["containers", "", ""],
		["containers", "n", ""],
		["volumes", "v", ""],
	}
}

test_other_kinds_and_deletions_are_not_judged if {
	deployment := object.union(fixtures.review(fixtures.pod_with(spec)), {"kind": {"group": "apps", "kind": "Deployment"}})
	judged(deployment) == set()
	other := object.union(fixtures.review(fixtures.pod_with(spec)), {"kind": {"group": "example.com", "kind": "Pod"}})
	judged(other) == set()
	judged(object.union(fixtures.review(fixtures.pod_with(spec)), {"operation": "DELETE"})) == set()
}

test_audit_has_no_operation if {
	judged(object.remove(fixtures.review(fixtures.pod_with(spec)), ["operation"])) == all
}

test_an_update_is_judged_by_what_it_changes if {
	old := fixtures.pod_with(object.union(spec, {"containers": [{"name": "app", "image": "old"}], "ephemeralContainers": []}))
	update := object.union(fixtures.review(fixtures.pod_with(spec)), {"operation": "UPDATE", "oldObject": old})
	judged(update) == {["containers", "app", "b"], ["ephemeralContainers", "debug", "c"]}
	judged(object.union(update, {"oldObject": null})) == all
	judged(object.union(update, {"operation": "CREATE"})) == all
}

# As Gatekeeper reviews the Pod of an ExpansionTemplate.
test_the_update_of_a_workload_is_not_judged if {
	expanded := object.union(fixtures.review(fixtures.pod_with(spec)), {"operation": "UPDATE", "oldObject": null})
	every user in [{}, {"username": ""}, null] {
		nobody := object.union(object.remove(expanded, ["userInfo"]), {"userInfo": user})
		judged(nobody) == set()
		judged(object.remove(nobody, ["oldObject"])) == set()
		judged(object.union(nobody, {"operation": "CREATE"})) == all
		judged(object.union(nobody, {"oldObject": fixtures.pod_with({})})) == all
	}
	judged(object.remove(expanded, ["userInfo"])) == set()
	judged(object.remove(expanded, ["operation", "userInfo"])) == all
	judged(expanded) == all
}

test_an_update_cannot_hide_an_image_that_is_none if {
	broken := fixtures.pod_with({"containers": [{"name": "app"}]})
	update := object.union(fixtures.review(broken), {"operation": "UPDATE", "oldObject": broken})
	judged(update) == {["containers", "app", ""]}
}

test_an_image_moved_to_another_place_is_judged if {
	update := object.union(
		fixtures.review(fixtures.pod_with({"initContainers": [{"name": "app", "image": "b"}]})),
		{"operation": "UPDATE", "oldObject": fixtures.pod_with({"containers": [{"name": "app", "image": "b"}]})},
	)
	judged(update) == {["initContainers", "app", "b"]}
}

test_namespace_of_the_object_or_else_of_the_request if {
	pod.namespace == "a" with input.review as {"namespace": "b", "object": {"metadata": {"namespace": "a"}}}
	pod.namespace == "b" with input.review as {"namespace": "b", "object": {"metadata": {"namespace": ""}}}
	pod.namespace == "b" with input.review as {"namespace": "b", "object": {"metadata": {}}}
	pod.namespace == "" with input.review as {"object": {"metadata": {}}}
}

test_originals if {
	annotated := object.union(fixtures.pod_with(spec), {"metadata": {"annotations": {
		"original-image.imagegate.dev/app": "b:1",
		"original-image.imagegate.dev/init": "a",
		"original-image.imagegate.dev/debug": "",
	}}})
	pod.originals("b") == {"b:1"} with input.review as fixtures.review(annotated)
	pod.originals("a") == set() with input.review as fixtures.review(annotated)
	pod.originals("c") == set() with input.review as fixtures.review(annotated)
}

test_originals_of_volumes if {
	namesakes := {
		"containers": [{"name": "models", "image": "b"}],
		"volumes": [{"name": "models", "image": {"reference": "d"}}, {"name": "other", "image": {"reference": "e"}}],
	}
	review := fixtures.review(object.union(fixtures.pod_with(namesakes), {"metadata": {"annotations": {
		"original-image.imagegate.dev/models": "b:1",
		"original-image.imagegate.dev/other": "e:1",
		"volume.original-image.imagegate.dev/models": "d:1",
	}}}))
	pod.originals("b") == {"b:1"} with input.review as review
	pod.originals("d") == {"d:1"} with input.review as review
	pod.originals("e") == set() with input.review as review
}
