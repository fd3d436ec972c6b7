package imagescanpolicy

import data.lib.breakglass
import data.lib.reports
import data.lib.scanpolicy
import data.lib.scanrules
import data.lib.settings
import future.keywords

violation contains outcome if some outcome in breakglass.outcome(denials, set())

denials := (scanpolicy.before | scanpolicy.after(found)) | settings.denials(no_rules)

found := reports.of(scanpolicy.to_scan, reports.view("summary"))

# Without generated rules nothing is left of this policy: that is a mistake, not
# a way to let everything pass.
no_rules contains sprintf("%s.autoGenerate is false, which leaves no rules: make a template of your own rules instead", [settings.judging]) if {
	scanrules.scan_off
}
