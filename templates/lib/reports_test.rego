package lib.reports_test

import data.lib.fixtures_test as fixtures
import data.lib.pod
import data.lib.reports
import future.keywords

spec := {
	"serviceAccountName": "runner",
	"imagePullSecrets": [{"name": "b"}, {"name": "a"}, {}, {"name": ""}],
	"nodeSelector": {"kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"},
	"containers": [{"name": "c", "image": "a/b:1"}],
}

asked(pod_spec, parameters, view) := key if {
	key := reports.key(["a/b:1", ""], view) with input as {"review": fixtures.review(fixtures.pod_with(pod_spec)), "parameters": parameters}
}

test_key_tells_who_pulls if {
	asked(spec, {}, "summary") == "a/b:1?namespace=shop&platform=linux%2Farm64&pullSecret=b&pullSecret=a&serviceAccount=runner"
}

test_key_tells_the_platform if {
	asked({"nodeSelector": {"kubernetes.io/os": "windows"}}, {}, "summary") == "a/b:1?namespace=shop&platform=windows%2F%2A"
	asked({"nodeSelector": {"disk": "ssd"}}, {}, "summary") == "a/b:1?namespace=shop"
}

test_key_with_a_view if {
	asked({}, {}, "full") == "a/b:1?namespace=shop&view=full"
	asked(spec, {"keyContext": "none"}, "findings") == "a/b:1?view=findings"
}

test_key_without_a_namespace if {
	unplaced := object.union(fixtures.pod_with(spec), {"metadata": {"namespace": ""}})
	key := reports.key(["a", ""], "summary") with input as {"review": fixtures.review(unplaced), "parameters": {}}
	key == "a?platform=linux%2Farm64"
}

# Audit reviews what is there: nobody creates or changes it.
test_key_of_audit if {
	running := object.remove(fixtures.review(fixtures.pod_with({})), ["userInfo"])
	every operation in ["", null] {
		key := reports.key(["a", ""], "summary") with input as {"review": object.union(running, {"operation": operation}), "parameters": {}}
		key == "a?asker=audit&namespace=shop"
	}
	bare := reports.key(["a", ""], "summary") with input as {"review": object.remove(running, ["operation"]), "parameters": {"keyContext": "none"}}
	bare == "a"
}

test_bare_key if asked(spec, {"keyContext": "none"}, "summary") == "a/b:1"

test_key_context_cannot_be_injected if {
	evil := {"serviceAccountName": "x&namespace=other"}
	asked(evil, {"keyContext": "pod"}, "summary") == "a/b:1?namespace=shop&serviceAccount=x%26namespace%3Dother"
}

bare := {"review": {"object": {}}, "parameters": {"keyContext": "none"}}

status(image, answer) := report.Status if {
	report := reports.of({[image, ""]}, "summary")[[image, ""]] with input as bare with external_data as answer
	report.ImageAndTag == image
}

message(image, answer) := text if {
	text := reports.of({[image, ""]}, "summary")[[image, ""]].Message with input as bare with external_data as answer
}

test_statuses_come_through if {
	every word, expected in fixtures.statuses {
		found := reports.of({[word, ""]}, "summary")[[word, ""]] with input as bare with external_data as fixtures.provider
		found.Status == expected
	}
}

test_no_answer_is_pending if {
	status("a", {"system_error": "", "errors": [], "responses": []}) == "report_not_available"
	status("a", {"system_error": "", "errors": null, "responses": null}) == "report_not_available"
	status("a", {"system_error": "", "errors": [["b", "x"]], "responses": [["b", {"ImageAndTag": "b", "Status": "accepted"}]]}) == "report_not_available"
}

# Whatever comes back, each image gets a report: without one nothing would be said of it.
test_an_answer_of_no_known_form_is_pending if {
	every answer in [null, "x", 7, [], {}, {"system_error": ""}, {"responses": "x", "errors": 7}] {
		status("a", answer) == "report_not_available"
	}
}

test_a_system_error_fails_every_image if {
	answer := {"system_error": "down", "errors": null, "responses": null}
	status("a", answer) == "scan_failed"
	message("a", answer) == "the scan provider 'imagegate-provider' could not be asked: down"
	status("a", {"system_error": "down", "errors": [], "responses": [["a", {"ImageAndTag": "a", "Status": "accepted"}]]}) == "scan_failed"
}

test_a_provider_that_there_is_not if {
	answer := {"system_error": "key is not found in provider cache", "errors": null, "responses": null}
	status("a", answer) == "scan_failed"
	message("a", answer) == "there is no Provider 'imagegate-provider' (parameter provider): kubectl get providers.externaldata.gatekeeper.sh lists those that there are"
}

test_an_error_fails_its_image if {
	answer := {"system_error": "", "errors": [["a", "refused"], ["b", "other"]], "responses": []}
	status("a", answer) == "scan_failed"
	message("a", answer) == "refused"
	status("a", object.union(answer, {"responses": [["a", {"ImageAndTag": "a", "Status": "accepted"}]]})) == "scan_failed"
}

test_a_failed_call_fails if {
	found := reports.of({["a", ""]}, "summary") with input as bare with external_data as refusing
	found[["a", ""]].Status == "scan_failed"
}

refusing(request) := request.no_such_field

test_no_key_no_call if {
	answer := reports.ask(set()) with external_data as fixtures.never
	answer.system_error == ""
}

test_an_answer_that_is_no_report_fails if {
	every value in ["accepted", null, {"Status": "accepted"}, {"ImageAndTag": "b", "Status": "accepted"}, []] {
		status("a", {"system_error": "", "errors": [], "responses": [["a", value]]}) == "scan_failed"
	}
}

test_the_least_favourable_of_two_reports if {
	accepted := ["a", {"ImageAndTag": "a", "Status": "accepted"}]
	rejected := ["a#", {"ImageAndTag": "a", "Status": "rejected"}]
	nameless := ["a#", {"ImageAndTag": "a"}]
	every answers in [[accepted, rejected], [rejected, accepted]] {
		status("a", {"system_error": "", "errors": [], "responses": answers}) == "rejected"
	}
	found := reports.of({["a", ""]}, "summary") with input as bare with external_data as {"system_error": "", "errors": [], "responses": [accepted, nameless]}
	not found[["a", ""]].Status
}

test_an_invalid_reference_is_not_sent if {
	found := reports.of({["a?view=full", ""], ["", ""]}, "summary") with input as bare with external_data as fixtures.never
	every _, report in found {
		report.Status == "scan_failed"
		report.Message == "this is not a valid image reference"
	}
	count(found) == 2
}

test_one_call_with_the_provider_of_the_parameters if {
	answer := {"system_error": "", "errors": [], "responses": []}
	found := reports.of({["a", ""]}, "summary") with input as {"review": {"object": {}}, "parameters": {"provider": "other"}} with external_data as by_name
	found[["a", ""]].Message == "the scan provider 'other' could not be asked: other"
	answer.system_error == ""
}

by_name(request) := {"system_error": request.provider, "errors": [], "responses": []}

test_more_images_than_can_be_asked_for_are_not_asked_for if {
	three := fixtures.under(["bad", "bad2", "bad3", "bad"], {})
	found := reports.of({["bad", ""]}, "summary") with input as three
		with external_data as fixtures.never
		with reports.most_images as 2
	found == {}
	denied := reports.overfull with input as three with reports.most_images as 2
	denied == {{"msg": "The Pod has 3 distinct images, and no more than 2 can be judged: split it", "details": {"phase": "pre-scan"}}}
}

test_as_many_images_as_can_be_asked_for if {
	two := fixtures.under(["bad", "bad2", "bad"], {})
	found := reports.of({["bad", ""], ["bad2", ""]}, "summary") with input as two
		with external_data as fixtures.provider
		with reports.most_images as 2
	{report.Status | some report in found} == {"rejected"}
	denied := reports.overfull with input as two with reports.most_images as 2
	denied == set()
}

test_the_provider_takes_256_keys if reports.most_images == 256

test_a_claim_goes_with_the_key if {
	key := reports.key(["a@sha256:abc", "r.io:5000/a:1"], "summary") with input as fixtures.under(["a"], {})
	key == "a@sha256:abc?namespace=shop&original=r.io%3A5000%2Fa%3A1"
	bare_key := reports.key(["a@sha256:abc", "a:1"], "summary") with input as bare
	bare_key == "a@sha256:abc"
}

test_a_claim_that_cannot_be_true_is_not_sent if {
	long := concat("", ["a/", concat("", [c | some _ in numbers.range(1, 511); c := "x"])])
	every subject in [["a:1", "a:2"], ["a@sha256:abc", ""], ["a@sha256:abc", "a?view=full"], ["a@sha256:abc", "a@sha256:def"], ["a@sha256:abc", long]] {
		key := reports.key(subject, "summary") with input as fixtures.under(["a"], {})
		key == concat("?", [subject[0], "namespace=shop"])
	}
}

pinned := "good@sha256:abc"

test_what_the_provider_vouches_for_is_the_name if {
	subjects := {[pinned, "good:seen"], [pinned, "good:forged"], [pinned, ""]}
	found := reports.of(subjects, "summary") with input as fixtures.under([pinned], {}) with external_data as fixtures.provider
	{subject[1]: report.ImageAndTag | some subject, report in found} == {"good:seen": "good:seen", "good:forged": pinned, "": pinned}
	{report.Status | some report in found} == {"accepted"}
	{subject[1] | some subject, report in found; reports.vouched(subject, report)} == {"good:seen"}
}

test_another_image_of_that_name_is_no_answer if {
	answer := {"system_error": "", "errors": [], "responses": [["x", {"Image": "evil@sha256:def", "ImageAndTag": pinned, "Status": "accepted"}]]}
	found := reports.of({[pinned, "good:seen"], [pinned, ""]}, "summary") with input as fixtures.under([pinned], {}) with external_data as answer
	{report.Status | some report in found} == {"report_not_available"}
}

test_the_least_favourable_report_of_an_image_whatever_was_written if {
	answer := {"system_error": "", "errors": [], "responses": [
		["x", {"Image": pinned, "ImageAndTag": "good:1", "Status": "accepted"}],
		["y", {"Image": pinned, "ImageAndTag": "good:2", "Status": "rejected"}],
	]}
	found := reports.of({[pinned, "good:1"]}, "summary") with input as fixtures.under([pinned], {}) with external_data as answer
	found[[pinned, "good:1"]].Status == "rejected"
	found[[pinned, "good:1"]].ImageAndTag == "good:1"
}

test_what_is_written_is_counted if {
	claiming := fixtures.pinned([[pinned, "good:1"], [pinned, "good:2"], [pinned, "good:3"]])
	denied := reports.overfull with input as {"review": fixtures.review(claiming), "parameters": {}} with reports.most_images as 2
	count(denied) == 1
}

sprawling := {
	"containers": [{"name": "c", "image": "good"}],
	"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [
		{"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]},
		{"key": "kubernetes.io/arch", "operator": "In", "values": [sprintf("a%d", [i]) | some i in numbers.range(1, 2000)]},
	]}]}}},
}

# What it leaves unsaid must not be judged in its place.
test_a_pod_that_names_too_many_platforms_is_denied if {
	review := fixtures.review(fixtures.pod_with(sprawling))
	denied := reports.overfull with input as {"review": review, "parameters": {"scanFailed": "accept"}}
	{denial.msg | some denial in denied} == {"The Pod's node affinity names more than the 32 platforms that can be judged: name fewer"}
	untold := reports.overfull with input as {"review": review, "parameters": {"keyContext": "none"}}
	untold == set()
	running := object.union(review, {"operation": "UPDATE", "oldObject": review.object})
	unjudged := reports.overfull with input as {"review": running, "parameters": {}}
	unjudged == set()
}

test_more_pull_secrets_than_a_key_can_hold if {
	key := asked({"imagePullSecrets": [{"name": "s"} | some _ in numbers.range(1, 5000)]}, {}, "summary")
	count(key) > 2048
	count(key) < 4096
}

test_too_many_containers_are_denied_whatever_is_accepted if {
	denied := reports.overfull with input as fixtures.under(["a", "a", "a"], {"scanFailed": "accept"}) with pod.most_images as 2
	{denial.msg | some denial in denied} == {"The Pod has 3 containers and image volumes, and no more than 2 can be judged: split it"}
}
