import future.keywords.in

deny_image[msg] {
	some mount in input.ContainerObject.volumeMounts
	mount.name == "host"
	input.ScanReport.Status in ["rejected", "scan_failed"]
	msg := "not on the host"
}
