allow_image {
        input.ScanReport.Status == "accepted"
}
deny_image[msg] {
  not allow_image
  msg := sprintf("Denying images that are not accepted. Status: %s", [input.ScanReport.Status])
}
