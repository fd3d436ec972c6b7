# The image scan policy: what it denies, phase by phase.
package lib.scanpolicy

import data.lib.config
import data.lib.messages
import data.lib.pod
import data.lib.prefixes
import data.lib.reports
import data.lib.scanrules
import future.keywords

images := {entry.image | some entry in pod.judged}

# A policy that cannot be read denies every Pod that has something to judge.
denials contains {"msg": msg, "details": {"phase": "configuration"}} if {
	count(images) > 0
	some msg in config.errors
}

# Before the scan: one rejected image rejects the Pod, and nothing is scanned.
denials contains {"msg": msg, "details": {"phase": "pre-scan", "image": image, "containers": containers(image)}} if {
	some image in pre_scan_rejected
	msg := messages.rejection(image, pre_scan_decisions[image].scope, "", [])
}

# With the reports at hand: every image must pass.
denials contains {"msg": msg, "details": {"phase": "scan", "image": image, "containers": containers(image), "status": status_of(reports_of[image])}} if {
	some image, decision in decisions
	decision.action == "scan-result"
	reason := fault(reports_of[image])
	msg := messages.rejection(image, decision.scope, reason, messages.details(image, reports_of[image]))
}

denials contains {"msg": msg, "details": {"phase": "scan", "image": image, "containers": containers(image)}} if {
	some image, decision in decisions
	decision.action == "reject"
	msg := messages.rejection(image, decision.scope, "policy action is 'reject'", messages.details(image, {}))
}

pre_scan_decisions := {image: prefixes.decide(image, scanrules.pre_scan) |
	count(config.errors) == 0
	some image in images
}

pre_scan_rejected := {image | some image, decision in pre_scan_decisions; decision.action == "reject"}

# The images that go on to the scan phase.
decisions := {image: prefixes.decide(image, scanrules.scan) |
	count(pre_scan_rejected) == 0
	some image, decision in pre_scan_decisions
	decision.action == "scan"
}

# Images that are accepted whatever the report says are asked for all the same:
# that is what has them scanned.
reports_of := reports.of({image | some image, decision in decisions; decision.action != "reject"}, view)

view := input.parameters.view if {
	pod.present(input.parameters.view)
} else := "summary"

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
	status := status_of(report)
	not status in {"accepted", "rejected", "report_not_available", "scan_failed"}
}

status_of(report) := object.get(report, "Status", "<empty>")

containers(image) := [entry.name | some entry in pod.judged; entry.image == image]
