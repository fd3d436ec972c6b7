package mine

import rego.v1

default allow_pod := false

allow_pod if input.PodObject.metadata.labels["scan"] == "skip"

deny_pod contains msg if {
	some container in input.PodObject.spec.containers
	startswith(container.image, "bad-registry.com/")
	msg := sprintf("%s comes from a registry that is not trusted", [container.image])
}

deny_image contains "the report is not accepted" if input.ScanReport.Status != "accepted"
