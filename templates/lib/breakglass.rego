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
	found := settings.break_glass.annotation
	pod.present(found)
} else := "break-glass.imagegate.dev/reason"

reason := trimmed if {
	trimmed := trim_space(pod.reviewed.metadata.annotations[annotation])
	trimmed != ""
}

username := pod.text(object.get(input.review, "userInfo", {}), "username")

may if {
	username != ""
	username in settings.break_glass.users
}

may if {
	some group in input.review.userInfo.groups
	group in settings.break_glass.groups
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
outcome(denials, _) := {object.union(denial, {"msg": with_refusal(denial.msg)}) | some denial in denials} if {
	not warning
	not open
}

outcome(_, _) := set() if {
	not warning
	open
}

outcome(denials, warnings) := warnings | admitted(denials) if warning

# A denial that could have been an admission says why it is none.
with_refusal(msg) := sprintf("%s Break-glass was refused: %s.", [messages.ended(msg), refusal]) if {
	refusal
} else := msg

# Why the annotation that somebody wrote opens nothing. Audit sends nobody's
# request: what it finds was admitted.
refusal := why if {
	username != ""
	written := pod.reviewed.metadata.annotations[annotation]
	why := refused(written)
}

refused(written) := sprintf("the annotation %s gives no reason", [annotation]) if {
	trim_space(written) == ""
} else := "a mistake in the parameters keeps it shut" if {
	count(settings.mistakes) > 0
} else := "nobody may here, for breakGlass.users and breakGlass.groups are empty" if {
	count(allowed("users")) + count(allowed("groups")) == 0
} else := sprintf("'%s' is not among breakGlass.users and in none of breakGlass.groups; a workload's Pods are sent by its controller", [username]) if {
	startswith(username, "system:serviceaccount:kube-system:")
} else := sprintf("'%s' is not among breakGlass.users and in none of breakGlass.groups", [username])

allowed(key) := found if {
	found := settings.break_glass[key]
} else := []

warning if input.parameters.report == "warnings"

admitted(denials) := {object.union(denial, {"msg": msg}) |
	open
	some denial in denials
	msg := sprintf("Break-glass: admitted for '%s', reason '%s', in spite of: %s", [username, messages.brief(reason), denial.msg])
}
