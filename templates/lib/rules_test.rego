# Stands in for a user's rules in the unit tests.
package lib.rules

import future.keywords

allow_pod if input.PodObject.metadata.labels.scan == "no"

deny_pod contains sprintf("hostNetwork in %s", [input.AdmissionRequest.namespace]) if {
	input.PodObject.spec.hostNetwork
	not input.ScanReport
	not input.ContainerObject
}

deny_pod contains {"reason": "no words"} if input.PodObject.metadata.labels.wordless

deny_image contains msg if {
	input.ScanReport.Status == "rejected"
	input.AdmissionRequest.object == input.PodObject
	msg := sprintf("container %s is rejected", [input.ContainerObject.name])
}

deny_image contains sprintf("%s is odd", [input.ScanReport.ImageAndTag]) if input.ScanReport.Status == "wrongreport"

deny_image contains "latest is not allowed" if endswith(input.ScanReport.ImageAndTag, ":latest")

deny_image contains sprintf("in %s by %v", [namespace, policies.defaultPolicy]) if {
	input.PodObject.metadata.labels.names
}

deny_pod contains sprintf("before in %s by %v", [namespace, policies.defaultPolicy]) if {
	input.PodObject.metadata.labels.names == "before"
}

# As a generated template defines the names that a file of rules leaves open.
namespace := data.lib.ownrules.namespace

policies := data.lib.ownrules.policies
