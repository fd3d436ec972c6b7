allow_image {
  input.ScanReport.Status == "accepted"
}
allow_image {
  input.AdmissionRequest.object.metadata.namespace == "dev"
}
deny_image["Denying images otherwise"] {
  not allow_image
}
