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

# A Pod behind a scheduling gate may still be sent to other nodes, where the same
# index is another manifest.
test_an_update_of_its_platforms_is_judged if {
	old := fixtures.pod_with(spec)
	moved := fixtures.pod_with(object.union(spec, {"nodeSelector": {"kubernetes.io/os": "windows"}}))
	judged(object.union(fixtures.review(moved), {"operation": "UPDATE", "oldObject": old})) == all
	judged(object.union(fixtures.review(moved), {"operation": "UPDATE", "oldObject": moved})) == set()
	elsewhere := fixtures.pod_with(object.union(spec, {"nodeSelector": {"disk": "ssd"}}))
	judged(object.union(fixtures.review(elsewhere), {"operation": "UPDATE", "oldObject": old})) == set()
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

claims(pod_object) := found if {
	found := {e.name: pod.claim(e) | some e in pod.judged} with input.review as fixtures.review(pod_object)
}

test_claims if {
	annotated := object.union(fixtures.pod_with(spec), {"metadata": {"annotations": {
		"original-image.imagegate.dev/app": "b:1",
		"original-image.imagegate.dev/init": "a",
		"original-image.imagegate.dev/debug": "",
	}}})
	claims(annotated) == {"app": "b:1", "init": "", "debug": "", "models": ""}
}

test_claims_of_volumes if {
	namesakes := {
		"containers": [{"name": "app", "image": "b"}],
		"volumes": [{"name": "models", "image": {"reference": "d"}}, {"name": "other", "image": {"reference": "e"}}],
	}
	annotated := object.union(fixtures.pod_with(namesakes), {"metadata": {"annotations": {
		"original-image.imagegate.dev/models": "b:1",
		"original-image.imagegate.dev/other": "e:1",
		"volume.original-image.imagegate.dev/models": "d:1",
	}}})
	claims(annotated) == {"app": "", "models": "d:1", "other": ""}
}

test_a_tag_beside_a_digest_is_a_claim if {
	claims(fixtures.pod(["a:1@sha256:abc", "h.io:5000/b@sha256:abc", "c:1"])) == {"c0": "a:1", "c1": "", "c2": ""}
	claims(fixtures.pinned([["a:1@sha256:abc", "a:2"]])) == {"c0": "a:2"}
}

mirror(name, node, user, groups) := {
	"kind": {"group": "", "version": "v1", "kind": "Pod"},
	"operation": "CREATE",
	"userInfo": {"username": user, "groups": groups},
	"object": object.union(
		fixtures.pod_with(object.union({"containers": [{"name": "c", "image": "a"}]}, node)),
		{"metadata": {"annotations": {name: "hash"}}},
	),
}

static := "kubernetes.io/config.mirror"

test_a_mirror_pod_of_its_own_node_runs_anyway if {
	judged(mirror(static, {"nodeName": "n1"}, "system:node:n1", ["system:nodes", "system:authenticated"])) == set()
}

test_a_mirror_annotation_of_anybody_else_means_nothing if {
	all_of_it := {["containers", "c", "a"]}
	every review in [
		mirror(static, {"nodeName": "n1"}, "alice", ["system:nodes"]),
		mirror(static, {"nodeName": "n1"}, "system:node:n1", ["developers"]),
		mirror(static, {"nodeName": "n1"}, "system:node:n2", ["system:nodes"]),
		mirror(static, {"nodeName": ""}, "system:node:", ["system:nodes"]),
		mirror(static, {}, "system:node:n1", ["system:nodes"]),
		mirror("other", {"nodeName": "n1"}, "system:node:n1", ["system:nodes"]),
		object.remove(mirror(static, {"nodeName": "n1"}, "system:node:n1", ["system:nodes"]), ["userInfo", "operation"]),
		object.union(mirror(static, {"nodeName": "n1"}, "system:node:n1", ["system:nodes"]), {"operation": "UPDATE", "oldObject": {}}),
	] {
		judged(review) == all_of_it
	}
}

test_a_pod_with_more_images_than_can_be_looked_at if {
	review := fixtures.review(fixtures.pod(["a", "b", "a"]))
	untouched := pod.judged with input as {"review": review} with pod.most_images as 2
	untouched == []
	denied := pod.crowded with input as {"review": review} with pod.most_images as 2
	{denial.msg | some denial in denied} == {"The Pod has 3 containers and image volumes, and no more than 2 can be judged: split it"}
	volumes := fixtures.review(fixtures.pod_with({"containers": [{"name": "c", "image": "a"}], "volumes": [{"name": "v", "image": {"reference": "a"}}, {"name": "tmp", "emptyDir": {}}]}))
	by_volumes := pod.crowded with input as {"review": volumes} with pod.most_images as 1
	count(by_volumes) == 1
	update := object.union(review, {"operation": "UPDATE", "oldObject": fixtures.pod(["a", "b"])})
	by_update := pod.crowded with input as {"review": update} with pod.most_images as 2
	count(by_update) == 1
}

test_as_many_images_as_can_be_looked_at if {
	review := fixtures.review(fixtures.pod(["a", "b"]))
	denied := pod.crowded with input as {"review": review} with pod.most_images as 2
	denied == set()
	running := object.union(review, {"operation": "UPDATE", "oldObject": fixtures.pod(["a", "b"])})
	left_alone := pod.crowded with input as {"review": running} with pod.most_images as 1
	left_alone == set()
	own := mirror(static, {"nodeName": "n1"}, "system:node:n1", ["system:nodes"])
	runs_anyway := pod.crowded with input as {"review": own} with pod.most_images as 0
	runs_anyway == set()
	pod.most_images == 512
}

test_what_is_too_long_for_an_image_is_not_read_whole if {
	long := concat("", [c | some _ in numbers.range(1, 1025); c := "a"])
	found := pod.judged with input as {"review": fixtures.review(fixtures.pod_with({
		"containers": [{"name": "a", "image": long}, {"name": "b", "image": substring(long, 0, 1024)}],
		"volumes": [{"name": "v", "image": {"reference": long}}],
	}))}
	[entry.image | some entry in found] == [concat("", [substring(long, 0, 1024), "…"]), substring(long, 0, 1024), concat("", [substring(long, 0, 1024), "…"])]
	claimed := fixtures.pinned([["a@sha256:abc", long]])
	claims := [pod.claim(entry) | some entry in pod.judged] with input as {"review": fixtures.review(claimed)}
	claims == [""]
}
