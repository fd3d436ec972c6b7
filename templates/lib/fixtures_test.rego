# What the unit tests are made of.
package lib.fixtures_test

import future.keywords

container(name, image) := {"name": name, "image": image}

# A Pod in namespace shop with one container for each image.
pod(images) := pod_with({"containers": [container(sprintf("c%d", [i]), image) | some i, image in images]})

pod_with(spec) := {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": spec}

# The request that creates an object.
review(object) := {
	"kind": {"group": "", "version": "v1", "kind": object.kind},
	"operation": "CREATE",
	"namespace": object.metadata.namespace,
	"userInfo": {"username": "alice", "groups": ["developers"]},
	"object": object,
	"oldObject": null,
}

under(images, parameters) := {"review": review(pod(images)), "parameters": parameters}

# A provider for with external_data as fixtures.provider: images are named for
# their status, and pending ones come under a key nobody asked for.
provider(request) := {
	"system_error": "",
	"status_code": 200,
	"errors": [[key, "the reference was refused"] | some key in request.keys; contains(key, "refused")],
	"responses": [[answer_key(key), report] |
		some key in request.keys
		image := split(key, "?")[0]
		some word, status in statuses
		contains(image, word)
		report := object.union({"ImageAndTag": image, "Status": status, "Message": sprintf("%s for a reason.", [word])}, names(key, image))
	],
}

# What the provider says of an original: it has seen those with the word seen in
# them mean their image.
names(key, image) := {"Image": image, "ImageAndTag": original} if {
	original := original_in(key)
	contains(original, "seen")
} else := {"Image": image} if {
	original_in(key)
} else := {}

original_in(key) := urlquery.decode_object(split(key, "?")[1]).original[0]

# A Pod as the mutator leaves it: a container for each [image, original].
pinned(pairs) := object.union(pod([pair[0] | some pair in pairs]), {"metadata": {"annotations": {annotation: pair[1] |
	some i, pair in pairs
	annotation := sprintf("original-image.imagegate.dev/c%d", [i])
	pair[1] != ""
}}})

statuses := {
	"good": "accepted",
	"bad": "rejected",
	"broken": "scan_failed",
	"pending": "report_not_available",
	"odd": "wrongreport",
}

answer_key(key) := concat("", [key, "#"]) if {
	contains(key, "pending")
} else := key

# A provider that must not be asked: its answer fits no test.
never(request) := {"system_error": sprintf("asked for %v", [request.keys]), "errors": null, "responses": null, "status_code": 500}

msgs(violations) := {violation.msg | some violation in violations}

# The same Pod with the reason to break the glass, and alice among those who may.
breaking(images, parameters) := {
	"review": review(object.union(pod(images), {"metadata": {"annotations": {"break-glass.imagegate.dev/reason": "incident 7"}}})),
	"parameters": object.union({"breakGlass": {"users": ["alice"]}}, parameters),
}
