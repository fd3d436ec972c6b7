# Runs a user's own rules, which are package lib.rules in the same template:
# allow_pod and deny_pod[msg] before the scan, deny_image[msg] for each container
# with its image's report.
package lib.ownrules

import data.lib.messages
import data.lib.pod
import data.lib.reports
import data.lib.rules
import data.lib.settings
import future.keywords

# What the rules before the scan read. By the name policies they read a section of the
# parameters.
pod_input := {"AdmissionRequest": input.review, "PodObject": pod.reviewed, "Policies": object.get(settings.sections, "preScanPolicies", {})}

# The two names that rules may use without defining them. They are read where a
# rule is asked, with its input.
namespace := input.PodObject.metadata.namespace if {
	pod.present(input.PodObject.metadata.namespace)
} else := input.AdmissionRequest.namespace if {
	pod.present(input.AdmissionRequest.namespace)
} else := ""

policies := input.Policies

# An update that brings no image is not judged.
before contains {"msg": text(msg), "details": {"phase": "pre-scan"}} if {
	count(pod.judged) > 0
	some msg in rules.deny_pod with input as pod_input
}

# The Pod is accepted without a scan.
allowed if rules.allow_pod with input as pod_input

# What may have a report to be judged by.
subjects := pod.subjects

# What deny_image says for each container whose image has a report, with
# reports as {subject: ScanReport}.
after(found) := {{"msg": about(text(msg), entry, found), "details": details} |
	some entry in pod.judged
	some report in readings(pod.subject(entry), found)
	image_input := object.union(pod_input, {"ScanReport": report, "ContainerObject": entry.container, "Policies": object.get(settings.sections, settings.judging, {})})
	some msg in rules.deny_image with input as image_input
	details := {"phase": "scan", "image": entry.image, "containers": [entry.name], "status": reports.status(report)}
}

# Whether the rules judge reports: a set of messages is there even when it is empty.
judge if rules.deny_image with input as {}

# The report, and beside it the same one under the name that the Pod's author
# claims and nobody vouches for: what a rule denies of either is denied.
readings(subject, found) := {found[subject]} | {report |
	subject[1] != ""
	report := object.union(found[subject], {"ImageAndTag": subject[1]})
}

# The rule's own words, with the container added where a Pod has several images
# and the rule does not say which one it means.
about(msg, entry, found) := sprintf("%s (container '%s', image '%s')", [msg, entry.name, name]) if {
	count(subjects) > 1
	name := messages.name(pod.subject(entry), found[pod.subject(entry)])
	not contains(msg, name)
	not contains(msg, entry.image)
} else := msg

text(msg) := msg if {
	is_string(msg)
} else := json.marshal(msg)
