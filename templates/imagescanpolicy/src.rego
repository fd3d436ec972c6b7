package imagescanpolicy

import data.lib.reports
import data.lib.scanpolicy
import future.keywords

violation contains denial if some denial in scanpolicy.before

violation contains denial if some denial in scanpolicy.after(found)

found := reports.of(scanpolicy.to_scan, reports.view("summary"))

# Without generated rules nothing is left of this policy: that is a mistake, not
# a way to let everything pass.
violation contains {"msg": msg, "details": {"phase": "configuration"}} if {
	scanpolicy.switched_off
	count(scanpolicy.images) > 0
	msg := "Configuration error: scanRules.autoGenerate is false, which leaves no rules: make a template of your own rules instead"
}
