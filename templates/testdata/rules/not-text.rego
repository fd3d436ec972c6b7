# Messages that are no texts deny all the same.
deny_pod[msg] {
	input.PodObject.metadata.labels.scan == "skip"
	msg := 42
}

deny_image[msg] {
	input.ScanReport.Status != "accepted"
	msg := {"status": input.ScanReport.Status, "code": 3}
}
