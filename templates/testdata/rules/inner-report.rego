# Rows of the scanner's own report: gate 4, trigger 5, words 6, action 7.
deny_image[msg] {
	row := input.ScanReport.InnerReport.detail.result.result[_].result.rows[_]
	row[3] == "dockerfile"
	contains(row[5], "'USER'")
	msg := sprintf("%s: %s", [input.ScanReport.ImageAndTag, row[5]])
}
