deny_image[msg] {
  coverage := input.ScanReport.Summary.Coverage
  coverage.Unmatched > 0
  msg := sprintf("%d of %d packages of %s could not be looked up", [coverage.Unmatched, coverage.Packages, object.get(coverage, "Distribution", "no distribution")])
}
