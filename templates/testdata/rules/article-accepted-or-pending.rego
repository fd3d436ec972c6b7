allow_image {
        input.ScanReport.Status == "accepted"
}
allow_image {
        input.ScanReport.Status == "report_not_available"
}
deny_image[msg] {
  not allow_image
  msg := sprintf("Denying images that are not accepted or in progress. Status: %s", [input.ScanReport.Status])
}
