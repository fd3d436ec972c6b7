# A user's own rules appended to the image scan policy: either may deny, and
# allow_pod counts only when nothing was denied before the scan.
package customscan

import data.lib.breakglass
import data.lib.ownrules
import data.lib.reports
import data.lib.scanpolicy
import future.keywords

violation contains outcome if some outcome in breakglass.outcome(denials, set())

denials := before | after

before := ownrules.before | scanpolicy.before

after := {denial |
	count(before) == 0
	not ownrules.allowed
	some denial in (scanpolicy.after(found) | ownrules.after(found))
}

found := reports.of(to_scan, reports.view("full"))

# Images that the generated rules decided before the scan are not asked for, and
# with them switched off all are.
to_scan := ownrules.images if {
	scanpolicy.switched_off
} else := scanpolicy.to_scan
