# A user's own rules alone.
package custom

import data.lib.breakglass
import data.lib.ownrules
import data.lib.reports
import data.lib.settings
import future.keywords

violation contains outcome if some outcome in breakglass.outcome(denials, set())

denials := before | after

before := (settings.denials(settings.mistakes) | reports.overfull) | ownrules.before

after := {denial |
	count(before) == 0
	not ownrules.allowed
	some denial in ownrules.after(reports.of(ownrules.subjects, reports.view("full")))
}
