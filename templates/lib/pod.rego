# The Pod under review and the images it would run.
package lib.pod

import data.lib.platform
import data.lib.reference
import future.keywords

# The Pod under review: undefined for every other kind (workloads are judged
# through the Pods an ExpansionTemplate makes of them), for deletions, which run
# nothing, and for updates of workloads.
reviewed := input.review.object if {
	object.get(input.review.kind, "group", "") == ""
	input.review.kind.kind == "Pod"
	object.get(input.review, "operation", "") != "DELETE"
	not workload_update
}

# Gatekeeper says of the Pod it makes of an updated workload neither what it was
# before nor who sends it; a request always says both. What the update changes is
# unknown then, and an old ReplicaSet must stay able to scale down: new Pods are
# judged themselves.
workload_update if {
	input.review.operation == "UPDATE"
	not is_object(object.get(input.review, "oldObject", null))
	text(object.get(input.review, "userInfo", {}), "username") == ""
}

# The namespace of the object or else of the request; "" when neither says.
namespace := input.review.object.metadata.namespace if {
	present(input.review.object.metadata.namespace)
} else := input.review.namespace if {
	present(input.review.namespace)
} else := ""

# Every image of the Pod, one entry a container or image volume:
# {"field", "name", "image", "container"}.
images := images_of(reviewed)

# The images to judge. An update is judged by the images it changes: a Pod that
# already runs must stay able to lose a finalizer or gain a label. One that still
# waits for its scheduling gates may get another node selector, and with it run
# another manifest of each image.
judged := [entry |
	count(crowded) == 0
	some entry in images
	not unchanged(entry)
	not mirrored
]

# A kubelet runs its static Pods whatever the API server says of the objects that
# mirror them. Only a node can know that a Pod is one, and only of its own: from
# anybody else the annotation means nothing. In audit nobody is the sender.
mirrored if {
	input.review.operation == "CREATE"
	reviewed.metadata.annotations["kubernetes.io/config.mirror"]
	present(reviewed.spec.nodeName)
	input.review.userInfo.username == concat(":", ["system", "node", reviewed.spec.nodeName])
	"system:nodes" in input.review.userInfo.groups
}

# What denies a Pod with more images than can be looked at before the webhook's
# time is over: it would be admitted then.
crowded contains {"msg": msg, "details": {"phase": "pre-scan"}} if {
	found := sum([count(listed(reviewed.spec, field)) | some field in lists]) + count([1 | some volume in reviewed.spec.volumes; volume.image])
	found > most_images
	not mirrored
	not same_spec
	msg := sprintf("The Pod has %d containers and image volumes, and no more than %d can be judged: split it", [found, most_images])
}

most_images := 512

same_spec if {
	input.review.operation == "UPDATE"
	input.review.oldObject.spec == reviewed.spec
}

unchanged(entry) if {
	input.review.operation == "UPDATE"
	present(entry.image)
	same_platforms
	some old in images_of(input.review.oldObject)
	[old.field, old.name, old.image] == [entry.field, entry.name, entry.image]
}

same_platforms if platform.of(input.review.oldObject.spec) == platform.known

lists := ["initContainers", "containers", "ephemeralContainers"]

images_of(pod) := array.concat(
	[entry |
		some field in lists
		some container in pod.spec[field]
		entry := {
			"field": field,
			"name": text(container, "name"),
			"image": reference.cut(text(container, "image")),
			"container": container,
		}
	],
	[entry |
		some volume in pod.spec.volumes
		volume.image
		entry := {
			"field": "volumes",
			"name": text(volume, "name"),
			"image": reference.cut(text(volume.image, "reference")),
			"container": volume_as_container(volume),
		}
	],
)

# An image volume in the shape that rules for containers read.
volume_as_container(volume) := {
	"name": text(volume, "name"),
	"image": text(volume.image, "reference"),
	"imagePullPolicy": text(volume.image, "pullPolicy"),
	"volume": volume,
}

# What the Pod's author wrote before the mutator pinned the image: the mutator
# keeps it in an annotation, or as the tag beside the digest. It is the author's
# own word: good for messages and for tightening a decision, and for loosening
# one only when the provider vouches for it. "" where nothing is claimed.
claim(entry) := written if {
	written := reviewed.metadata.annotations[concat("/", [original_prefix(entry), entry.name])]
	present(written)
	written != entry.image
	count(written) <= reference.longest
} else := reference.tagged(entry.image)

# An image and what was written for it: what decisions and reports are about.
subject(entry) := [entry.image, claim(entry)]

# Those to judge.
subjects := {subject(entry) | some entry in judged}

# A container and a volume may have the same name.
original_prefix(entry) := "volume.original-image.imagegate.dev" if {
	entry.field == "volumes"
} else := "original-image.imagegate.dev"

# A field as a string: "" when it is missing or no string, so that a malformed
# container is judged instead of skipped.
text(value, field) := value[field] if {
	is_string(value[field])
} else := ""

# A field as a list: an empty one when it is missing or none.
listed(value, field) := value[field] if {
	is_array(value[field])
} else := []

present(value) if {
	is_string(value)
	value != ""
}
