# A user's own rules alone.
package custom

import data.lib.ownrules
import data.lib.reports
import future.keywords

violation contains denial if some denial in ownrules.before

violation contains denial if {
	count(ownrules.before) == 0
	not ownrules.allowed
	some denial in ownrules.after(reports.of(ownrules.images, reports.view("full")))
}
