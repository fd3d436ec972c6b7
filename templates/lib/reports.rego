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
	distinct := count({entry.image | some entry in pod.judged})
	distinct > most_images
	msg := sprintf("The Pod has %d distinct images, and no more than %d can be judged: split it", [distinct, most_images])
}

# {image: ScanReport} for a set of images, from one call with every distinct
# key. Each image gets a report, unless overfull denies the Pod: no answer is
# report_not_available, an error is scan_failed.
of(images, view) := {} if {
	count(overfull) > 0
} else := {image: report |
	keys := {image: key(image, view) | some image in images; reference.valid(image)}
	answer := ask({k | some k in keys})
	some image in images
	report := report_of(image, object.get(keys, image, ""), answer)
}

# How much of the reports to ask for, where the parameters do not say it.
view(usual) := input.parameters.view if {
	pod.present(input.parameters.view)
} else := usual

# The status that a report claims, whatever it is.
status(report) := object.get(report, "Status", "<empty>")

# The key of an image: the reference as written, then what tells the provider
# who pulls it and how much of the report to send.
key(image, view) := image if {
	count(context(view)) == 0
} else := concat("?", [image, urlquery.encode_object(context(view))])

context(view) := object.union(view_context(view), pod_context)

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
	"pullSecret": [secret.name | some secret in pod.reviewed.spec.imagePullSecrets; pod.present(secret.name)],
}

# The provider's answer. With no key there is no call.
ask(keys) := {"system_error": "", "errors": [], "responses": []} if {
	count(keys) == 0
} else := answer if {
	answer := external_data({"provider": provider, "keys": [k | some k in keys]})
} else := {"system_error": "the call could not be made"}

# Answers are found by what they say, not by their key: a pending or failed
# report comes under a key that Gatekeeper will not find again.
report_of(image, "", _) := made(image, "scan_failed", "this is not a valid image reference")

report_of(image, asked, answer) := report if {
	asked != ""
	report := answered(image, asked, answer)
}

answered(image, asked, answer) := made(image, "scan_failed", message) if {
	object.get(answer, "system_error", "") != ""
	message := sprintf("the scan provider '%v' could not be asked: %v", [provider, answer.system_error])
} else := made(image, "scan_failed", message) if {
	messages := sort([m | some [k, m] in answer.errors; k == asked])
	message := sprintf("%v", [messages[0]])
} else := reports[0] if {
	# The least favourable first, should there be two.
	reports := array.concat(
		[r | some [_, r] in answer.responses; r.ImageAndTag == image; object.get(r, "Status", "") != "accepted"],
		[r | some [_, r] in answer.responses; r.ImageAndTag == image; r.Status == "accepted"],
	)
	count(reports) > 0
} else := made(image, "scan_failed", "the scan provider's answer is no scan report") if {
	some [k, _] in answer.responses
	k == asked
} else := made(image, "report_not_available", "no report yet, the image is being scanned: try again shortly")

made(image, status, message) := {"ImageAndTag": image, "Status": status, "Message": message}
