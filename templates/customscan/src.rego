# A user's own rules appended to the image scan policy: either may deny, and
# allow_pod counts only when nothing was denied before the scan.
package customscan

import data.lib.breakglass
import data.lib.ownrules
import data.lib.reports
import data.lib.scanpolicy
import data.lib.scanrules
import data.lib.settings
import future.keywords

violation contains outcome if some outcome in breakglass.outcome(denials, set())

denials := before | after

before := (ownrules.before | scanpolicy.before) | settings.denials(no_rules)

# Where neither judges the reports every image would pass.
no_rules contains sprintf("%s.autoGenerate is false, which leaves no rules for the reports: the template's own have no deny_image", [settings.judging]) if {
	scanrules.scan_off
	not ownrules.judge
}

after := {denial |
	count(before) == 0
	not ownrules.allowed
	some denial in (scanpolicy.after(found) | ownrules.after(found))
}

found := reports.of(to_scan, reports.view("full"))

# Nothing is asked where the generated rules decide every image without a report.
# Otherwise one's own rules are asked about all images, also about those that were
# accepted before the scan; what is rejected whatever the report says needs none.
to_scan := ownrules.subjects - rejected if {
	rejected := scanpolicy.going - asked
	count(asked) > 0
} else := set()

asked := scanpolicy.going if {
	scanrules.scan_off
} else := scanpolicy.to_scan
