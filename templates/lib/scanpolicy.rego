# The image scan policy: what it denies, phase by phase.
package lib.scanpolicy

import data.lib.config
import data.lib.messages
import data.lib.pod
import data.lib.prefixes
import data.lib.reports
import data.lib.scanrules
import data.lib.settings
import future.keywords

subjects := pod.subjects if {
	count(reports.overfull) == 0
} else := set()

# What is denied before anything is scanned. A policy that cannot be read denies
# every Pod that has something to judge.
before contains denial if some denial in settings.denials(config.mistakes)

before contains denial if some denial in reports.overfull

# One rejected image rejects the Pod.
before contains {"msg": msg, "details": {"phase": "pre-scan", "image": subject[0], "containers": containers(subject)}} if {
	some subject in pre_scan_rejected
	msg := messages.rejection(subject[0], pre_scan_decisions[subject].scope, "", messages.details(subject, {}))
}

# What is denied with the reports, {subject: ScanReport}, at hand: every image
# must pass.
after(found) := {denial |
	not scanrules.scan_off
	some subject in going
	denial := denied(subject, object.get(found, [subject], {}))
}

denied(subject, report) := {"msg": msg, "details": details} if {
	decision := decided(subject, report)
	decision.action == "reject"
	details := about(subject)
	msg := messages.rejection(messages.name(subject, report), decision.scope, "policy action is 'reject'", messages.details(subject, object.remove(report, ["Message"])))
}

denied(subject, report) := {"msg": msg, "details": details} if {
	decision := decided(subject, report)
	decision.action == "scan-result"
	reason := fault(report)
	details := object.union(about(subject), {"status": reports.status(report)})
	msg := messages.rejection(messages.name(subject, report), decision.scope, reason, messages.details(subject, report))
}

about(subject) := {"phase": "scan", "image": subject[0], "containers": containers(subject)}

pre_scan_decisions := {subject: prefixes.decide(subject, scanrules.pre_scan) |
	count(config.mistakes) == 0
	some subject in subjects
}

pre_scan_rejected := {subject | some subject, decision in pre_scan_decisions; decision.action == "reject"}

# What goes on to the scan phase.
going := {subject |
	count(pre_scan_rejected) == 0
	some subject, decision in pre_scan_decisions
	decision.action == "scan"
}

# The decision of the scan phase: by what was written, where that is known.
decided(subject, report) := true_decisions[subject] if {
	reports.vouched(subject, report)
} else := decisions[subject]

decisions := {subject: prefixes.decide(subject, scanrules.scan) | some subject in going}

true_decisions := {subject: prefixes.decide_vouched(subject, scanrules.scan) |
	some subject in going
	reports.checked(subject[0], subject[1])
}

# What to ask for. Images that are accepted whatever the report says are among
# them: that is what has them scanned. So are those that only their claim, if it
# is true, saves from a rejection.
to_scan := {subject |
	not scanrules.scan_off
	some subject in going
	some decided_by in [decisions, true_decisions]
	decided_by[subject].action != "reject"
}

fault(report) := "scan result is 'reject'" if report.Status == "rejected"

fault(report) := "scan report is pending" if {
	report.Status == "report_not_available"
	scanrules.scan.reportPending == "reject"
}

fault(report) := "scan failed" if {
	report.Status == "scan_failed"
	scanrules.scan.scanFailed == "reject"
}

fault(report) := sprintf("unexpected ScanReport.Status value '%v'", [status]) if {
	status := reports.status(report)
	not status in {"accepted", "rejected", "report_not_available", "scan_failed"}
}

containers(subject) := [entry.name | some entry in pod.judged; pod.subject(entry) == subject]
