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

images := {entry.image |
	count(reports.overfull) == 0
	some entry in pod.judged
}

# The article's switch for rules of one's own instead of these.
switched_off if settings.value(input.parameters, ["scanRules", "autoGenerate"]) == false

# What is denied before anything is scanned. A policy that cannot be read denies
# every Pod that has something to judge.
before contains denial if some denial in settings.denials(config.mistakes)

before contains denial if some denial in reports.overfull

# One rejected image rejects the Pod.
before contains {"msg": msg, "details": {"phase": "pre-scan", "image": image, "containers": containers(image)}} if {
	some image in pre_scan_rejected
	msg := messages.rejection(image, pre_scan_decisions[image].scope, "", [])
}

# What is denied with the reports, {image: ScanReport}, at hand: every image must pass.
after(found) := refused | {{"msg": msg, "details": details} |
	some image, decision in decisions
	decision.action == "scan-result"
	reason := fault(found[image])
	details := object.union(subject(image), {"status": reports.status(found[image])})
	msg := messages.rejection(image, decision.scope, reason, messages.details(image, found[image]))
}

refused := {{"msg": msg, "details": subject(image)} |
	some image, decision in decisions
	decision.action == "reject"
	msg := messages.rejection(image, decision.scope, "policy action is 'reject'", messages.details(image, {}))
}

subject(image) := {"phase": "scan", "image": image, "containers": containers(image)}

pre_scan_decisions := {image: prefixes.decide(image, scanrules.pre_scan) |
	count(config.mistakes) == 0
	not switched_off
	some image in images
}

pre_scan_rejected := {image | some image, decision in pre_scan_decisions; decision.action == "reject"}

# The images that go on to the scan phase.
decisions := {image: prefixes.decide(image, scanrules.scan) |
	count(pre_scan_rejected) == 0
	some image, decision in pre_scan_decisions
	decision.action == "scan"
}

# The images to ask for. Those that are accepted whatever the report says are
# among them: that is what has them scanned.
to_scan := {image | some image, decision in decisions; decision.action != "reject"}

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

containers(image) := [entry.name | some entry in pod.judged; entry.image == image]
