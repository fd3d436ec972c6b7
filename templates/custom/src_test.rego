package custom_test

import data.custom
import data.lib.fixtures_test as fixtures
import data.lib.reports
import future.keywords

denials(images, change) := found if {
	found := fixtures.msgs(custom.violation) with input as {"review": fixtures.review(object.union(fixtures.pod(images), change)), "parameters": {}}
		with external_data as fixtures.provider
}

unasked(images, change) := found if {
	found := fixtures.msgs(custom.violation) with input as {"review": fixtures.review(object.union(fixtures.pod(images), change)), "parameters": {}}
		with external_data as fixtures.never
}

test_deny_image_for_each_container if {
	denials(["good", "pending"], {}) == set()
	denials(["bad"], {}) == {"container c0 is rejected"}
	denials(["bad", "bad"], {}) == {"container c0 is rejected", "container c1 is rejected"}
	denials(["good", "bad", "odd"], {}) == {
		"container c1 is rejected (container 'c1', image 'bad')",
		"odd is odd",
	}
}

test_deny_pod_comes_before_allow_pod_and_the_scan if {
	host := {"spec": {"hostNetwork": true}, "metadata": {"labels": {"scan": "no"}}}
	unasked(["bad"], host) == {"hostNetwork in shop"}
	denials(["bad"], {"spec": {"hostNetwork": true}}) == {"hostNetwork in shop"}
}

test_deny_pod_without_words if unasked(["bad"], {"metadata": {"labels": {"wordless": true}}}) == {`{"reason":"no words"}`}

test_allow_pod_accepts_without_a_scan if {
	unasked(["bad"], {"metadata": {"labels": {"scan": "no"}}}) == set()
	denials(["bad"], {"metadata": {"labels": {"scan": "yes"}}}) == {"container c0 is rejected"}
}

test_the_full_view_is_asked_for if {
	seen := custom.violation with input as fixtures.under(["a"], {"keyContext": "none"}) with external_data as as_status
	{violation.details.status | some violation in seen} == {"rejected"}
	summary := custom.violation with input as fixtures.under(["a"], {"keyContext": "none", "view": "summary"}) with external_data as as_status
	summary == set()
}

as_status(request) := {"system_error": "", "errors": [], "responses": [["a", {"ImageAndTag": "a", "Status": "rejected"}] | request.keys == ["a?view=full"]]}

test_a_configuration_error_denies if {
	found := fixtures.msgs(custom.violation) with input as fixtures.under(["good"], {"view": "x"}) with external_data as fixtures.never
	found == {"Configuration error: invalid value for view - 'x', must be one of summary, findings, full"}
}

test_break_glass if {
	found := fixtures.msgs(custom.violation) with input as fixtures.breaking(["bad"], {}) with external_data as fixtures.provider
	found == set()
}

test_details if {
	found := custom.violation with input as fixtures.under(["bad"], {}) with external_data as fixtures.provider
	{violation.details | some violation in found} == {{"phase": "scan", "image": "bad", "containers": ["c0"], "status": "rejected"}}
	before := custom.violation with input as {"review": fixtures.review(object.union(fixtures.pod(["bad"]), {"spec": {"hostNetwork": true}})), "parameters": {}}
	{violation.details | some violation in before} == {{"phase": "pre-scan"}}
}

test_too_many_images_are_denied_whatever_the_rules_say if {
	found := unasked(["a", "b", "c"], {}) with reports.most_images as 2
	found == {"The Pod has 3 distinct images, and no more than 2 can be judged: split it"}
	allowed := unasked(["a", "b", "c"], {"metadata": {"labels": {"scan": "no"}}}) with reports.most_images as 2
	allowed == found
}

test_an_update_that_brings_no_image_is_not_judged if {
	pod := object.union(fixtures.pod(["bad"]), {"spec": {"hostNetwork": true}})
	update := object.union(fixtures.review(pod), {"operation": "UPDATE", "oldObject": pod})
	same := custom.violation with input as {"review": update, "parameters": {}} with external_data as fixtures.never
	same == set()
	other := fixtures.msgs(custom.violation) with input as {"review": object.union(update, {"oldObject": fixtures.pod(["old"])}), "parameters": {}}
		with external_data as fixtures.never
	other == {"hostNetwork in shop"}
}

pinned(pairs) := found if {
	found := fixtures.msgs(custom.violation) with input as {"review": fixtures.review(fixtures.pinned(pairs)), "parameters": {}}
		with external_data as fixtures.provider
}

test_a_rule_by_tag_sees_what_was_written if {
	pinned([["good@sha256:abc", "good/seen:latest"]]) == {"latest is not allowed"}
	pinned([["good@sha256:abc", "good/seen:1"]]) == set()
	pinned([["good:latest@sha256:abc", ""]]) == {"latest is not allowed"}
}

test_a_claim_that_nobody_vouches_for_tightens if {
	pinned([["good@sha256:abc", "good:latest"]]) == {"latest is not allowed"}
	pinned([["bad@sha256:abc", "bad:latest"]]) == {"latest is not allowed", "container c0 is rejected"}
}

test_each_container_by_its_own_words if {
	pinned([["good@sha256:abc", "good/seen:1"], ["good@sha256:abc", "good/seen:latest"]]) == {"latest is not allowed (container 'c1', image 'good/seen:latest')"}
	pinned([["good@sha256:abc", "good:1"], ["good@sha256:abc", "good:latest"]]) == {"latest is not allowed (container 'c1', image 'good@sha256:abc')"}
}
