package imageadmission

# Only the deployer may run what is not accepted yet.
deployer {
	input.AdmissionRequest.userInfo.groups[_] == "deployers"
}

deny_image[msg] {
	input.ScanReport.Status != "accepted"
	not deployer
	msg := sprintf("%s may not run %s", [input.AdmissionRequest.userInfo.username, input.ScanReport.ImageAndTag])
}
