# Scan reports from the external data provider.
package lib.reports

import data.lib.platform
import data.lib.pod
import data.lib.reference
import future.keywords

# The name of the Provider object to ask.
provider := input.parameters.provider if {
	pod.present(input.parameters.provider)
} else := "imagegate-provider"

# How many keys the provider takes in a request unless configured otherwise.
# Beyond it every image would be a failed scan, which parameters may accept.
most_images := 256

# What denies a Pod with more images than that, whatever the parameters accept.
# They are not looked at one by one: the webhook's time might end over it.
overfull contains {"msg": msg, "details": {"phase": "pre-scan"}} if {
	distinct := count(pod.subjects)
	distinct > most_images
	msg := sprintf("The Pod has %d distinct images, and no more than %d can be judged: split it", [distinct, most_images])
}

overfull contains denial if some denial in pod.crowded

# Nor is a Pod judged that says more of its platforms than can be asked about:
# what it left unsaid would be judged in their place.
overfull contains {"msg": msg, "details": {"phase": "pre-scan"}} if {
	count(pod.judged) > 0
	object.get(pod_context, "platform", "") == platform.too_many
	msg := sprintf("The Pod's node affinity names more than the %d platforms that can be judged: name fewer", [platform.most_patterns])
}

# {subject: ScanReport} for a set of subjects (pod.subject), from one call with
# every distinct key. Each gets a report, unless overfull denies the Pod: no
# answer is report_not_available, an error is scan_failed.
of(subjects, view) := {} if {
	count(overfull) > 0
} else := {subject: report |
	keys := {subject: key(subject, view) | some subject in subjects; reference.valid(subject[0])}
	answer := read(ask({k | some k in keys}))
	some subject in subjects
	report := report_of(subject, object.get(keys, [subject], ""), answer)
}

# How much of the reports to ask for, where the parameters do not say it.
view(usual) := input.parameters.view if {
	pod.present(input.parameters.view)
} else := usual

# The status that a report claims, whatever it is.
status(report) := object.get(report, "Status", "<empty>")

# The key of a subject: the reference as the Pod has it, then what tells the
# provider who pulls it, what was written and how much of the report to send.
key([image, written], view) := keyed(image, urlquery.encode_object(object.union(context(view), {"original": written}))) if {
	checked(image, written)
} else := keyed(image, encoded(view))

keyed(image, "") := image

keyed(image, query) := concat("?", [image, query]) if query != ""

# What is the same for all subjects of the Pod.
context(view) := object.union(object.union(view_context(view), pod_context), asker_context)

encoded(view) := urlquery.encode_object(context(view))

# Gatekeeper's audit sends no operation. The provider's log then sums up a round.
asker_context := {"asker": "audit"} if {
	object.get(input.parameters, "keyContext", "pod") != "none"
	pod.text(input.review, "operation") == ""
} else := {}

# Only what could have been pinned to this image is a claim to check, and only of
# a length that leaves the key within its limit. It must be no reason for the
# image to have no report.
checked(image, written) if {
	contains(image, "@")
	object.get(input.parameters, "keyContext", "pod") != "none"
	reference.valid(written)
	not contains(written, "@")
	count(written) <= 512
}

view_context("summary") := {}

view_context(view) := {"view": view} if view != "summary"

# keyContext: none sends the bare reference, for providers that know nothing else.
pod_context := {} if {
	input.parameters.keyContext == "none"
} else := {name: value |
	some name, value in object.union(who_pulls, {"platform": platform.known})
	count(value) > 0
}

# Service account and pull secrets mean something in a namespace only.
who_pulls := {} if {
	pod.namespace == ""
} else := {
	"namespace": pod.namespace,
	"serviceAccount": pod.text(pod.reviewed.spec, "serviceAccountName"),
	"pullSecret": [secret.name | some secret in array.slice(pod.listed(pod.reviewed.spec, "imagePullSecrets"), 0, most_secrets); pod.present(secret.name)],
}

# So many make a key that the provider refuses for its length, however short
# their names.
most_secrets := 256

# The provider's answer. With no key there is no call.
ask(keys) := {"system_error": "", "errors": [], "responses": []} if {
	count(keys) == 0
} else := answer if {
	answer := external_data({"provider": provider, "keys": [k | some k in keys]})
} else := {"system_error": "the call could not be made"}

# An answer, read once for all who ask: what is wrong with all of it, "" for nothing, and
# the reports with the image that each is about.
read(answer) := {"fault": fault, "errors": [], "responses": [], "reports": []} if {
	fault := fault_of(object.get(answer, "system_error", ""))
} else := {
	"fault": "",
	"errors": object.get(answer, "errors", []),
	"responses": object.get(answer, "responses", []),
	"reports": [[about(r), r] | some [_, r] in answer.responses],
} if {
	is_object(answer)
} else := {"fault": "", "errors": [], "responses": [], "reports": []}

fault_of(error) := sprintf("there is no Provider '%v' (parameter provider): kubectl get providers.externaldata.gatekeeper.sh lists those that there are", [provider]) if {
	# Gatekeeper's word for a name that it does not know.
	contains(error, "not found in provider cache")
} else := sprintf("the scan provider '%v' could not be asked: %v", [provider, error]) if {
	error != ""
}

# Answers are found by what they say, not by their key: a pending or failed
# report comes under a key that Gatekeeper will not find again.
report_of([image, _], "", _) := made(image, "scan_failed", "this is not a valid image reference")

report_of(subject, asked, answer) := report if {
	asked != ""
	report := answered(subject, asked, answer)
}

answered([image, written], asked, answer) := made(image, "scan_failed", answer.fault) if {
	answer.fault != ""
} else := made(image, "scan_failed", message) if {
	messages := sort([m | answer.errors[_] = [asked, m]])
	message := sprintf("%v", [messages[0]])
} else := object.union(reports[0], {"ImageAndTag": named(image, written, reports)}) if {
	reports := worst_first([r | answer.reports[_] = [image, r]])
	count(reports) > 0
} else := made(image, "scan_failed", "the scan provider's answer is no scan report") if {
	answer.responses[_] = [asked, _]
} else := made(image, "report_not_available", "no report yet, the image is being scanned: try again shortly")

# The least favourable first, should there be two.
worst_first(reports) := reports if {
	count(reports) < 2
} else := array.concat(
	[r | some r in reports; object.get(r, "Status", "") != "accepted"],
	[r | some r in reports; r.Status == "accepted"],
)

# The image that a report is about.
about(report) := report.Image if {
	pod.present(report.Image)
} else := report.ImageAndTag

# What was written, when the provider says that it meant this image. What it says
# of another container's words for the same image does not count here.
named(image, written, reports) := written if {
	some report in reports
	report.Image == image
	report.ImageAndTag == written
} else := image

# Whether the provider vouches for what was written.
vouched([image, written], report) if {
	written != ""
	written != image
	report.ImageAndTag == written
}

made(image, status, message) := {"ImageAndTag": image, "Status": status, "Message": message}
