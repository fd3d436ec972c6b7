# Break-glass: a Pod that is admitted against the policy because its author says
# why and may. Off unless the parameters name who may.
#
# The author is whoever sends the request. Pods of a Deployment are sent by a
# controller's service account: an annotation in a Pod template opens nothing,
# unless that account is among those who may.
package lib.breakglass

import data.lib.messages
import data.lib.pod
import data.lib.settings
import future.keywords

annotation := found if {
	found := settings.value(input.parameters, ["breakGlass", "annotation"])
	pod.present(found)
} else := "break-glass.imagegate.dev/reason"

reason := trimmed if {
	trimmed := trim_space(pod.reviewed.metadata.annotations[annotation])
	trimmed != ""
}

username := pod.text(object.get(input.review, "userInfo", {}), "username")

may if {
	username != ""
	username in settings.value(input.parameters, ["breakGlass", "users"])
}

may if {
	some group in input.review.userInfo.groups
	group in settings.value(input.parameters, ["breakGlass", "groups"])
}

# A mistake in the settings keeps the glass whole.
open if {
	reason
	may
	count(settings.mistakes) == 0
}

# What of a policy's denials and warnings becomes a violation. A Constraint with
# report: violations enforces; a second one with report: warnings and the
# enforcement action warn records what the first let pass.
outcome(denials, _) := denials if {
	not warning
	not open
}

outcome(_, _) := set() if {
	not warning
	open
}

outcome(denials, warnings) := warnings | admitted(denials) if warning

warning if input.parameters.report == "warnings"

admitted(denials) := {object.union(denial, {"msg": msg}) |
	open
	some denial in denials
	msg := sprintf("Break-glass: admitted for '%s', reason '%s', in spite of: %s", [username, messages.brief(reason), denial.msg])
}
