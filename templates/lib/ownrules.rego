# Runs a user's own rules, which are package lib.rules in the same template:
# allow_pod and deny_pod[msg] before the scan, deny_image[msg] for each container
# with its image's report.
package lib.ownrules

import data.lib.pod
import data.lib.reports
import data.lib.rules
import future.keywords

# What the rules before the scan read.
pod_input := {"AdmissionRequest": input.review, "PodObject": pod.reviewed}

# An update that brings no image is not judged.
before contains {"msg": text(msg), "details": {"phase": "pre-scan"}} if {
	count(pod.judged) > 0
	some msg in rules.deny_pod with input as pod_input
}

# The Pod is accepted without a scan.
allowed if rules.allow_pod with input as pod_input

# The images that have a report to be judged by.
images := {entry.image | some entry in pod.judged}

# What deny_image says for each container whose image has a report, with
# reports as {image: ScanReport}.
after(found) := {{"msg": about(text(msg), entry), "details": details} |
	some entry in pod.judged
	report := found[entry.image]
	image_input := object.union(pod_input, {"ScanReport": report, "ContainerObject": entry.container})
	some msg in rules.deny_image with input as image_input
	details := {"phase": "scan", "image": entry.image, "containers": [entry.name], "status": reports.status(report)}
}

# The rule's own words, with the container added where a Pod has several images
# and the rule does not say which one it means.
about(msg, entry) := sprintf("%s (container '%s', image '%s')", [msg, entry.name, entry.image]) if {
	count(images) > 1
	not contains(msg, entry.image)
} else := msg

text(msg) := msg if {
	is_string(msg)
} else := json.marshal(msg)
