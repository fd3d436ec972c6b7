package customscan_test

import data.customscan
import data.lib.fixtures_test as fixtures
import data.lib.reports
import future.keywords

denials(images, change, parameters) := found if {
	found := fixtures.msgs(customscan.violation) with input as {"review": fixtures.review(object.union(fixtures.pod(images), change)), "parameters": parameters}
		with external_data as fixtures.provider
}

unasked(images, change, parameters) := found if {
	found := fixtures.msgs(customscan.violation) with input as {"review": fixtures.review(object.union(fixtures.pod(images), change)), "parameters": parameters}
		with external_data as fixtures.never
}

generated := "Image 'bad' REJECTED. Global default policy - scan result is 'reject': bad for a reason."

test_both_judge_the_reports if {
	denials(["good"], {}, {}) == set()
	denials(["bad"], {}, {}) == {generated, "container c0 is rejected"}
	denials(["bad"], {}, {"scanRules": {"defaultPolicy": "accept"}}) == {"container c0 is rejected"}
	denials(["broken"], {}, {}) == {"Image 'broken' REJECTED. Global default policy - scan failed: broken for a reason."}
}

test_either_denies_before_the_scan if {
	host := {"spec": {"hostNetwork": true}, "metadata": {"labels": {"scan": "no"}}}
	unasked(["bad"], host, {}) == {"hostNetwork in shop"}
	unasked(["bad"], {"metadata": {"labels": {"scan": "no"}}}, {"preScanPolicies": {"defaultPolicy": "reject"}}) == {"Image 'bad' REJECTED. Global default policy"}
	denials(["bad"], {}, {"preScanPolicies": {"defaultPolicy": "reject"}}) == {"Image 'bad' REJECTED. Global default policy"}
}

test_allow_pod_accepts_without_a_scan if {
	unasked(["bad"], {"metadata": {"labels": {"scan": "no"}}}, {}) == set()
}

test_what_was_decided_before_is_not_scanned if {
	unasked(["bad"], {}, {"preScanPolicies": {"defaultPolicy": "accept"}}) == set()
	unasked(["bad"], {}, {"scanPolicies": {"defaultPolicy": "reject"}}) == {"Image 'bad' REJECTED. Global default policy - policy action is 'reject'"}
}

test_generated_rules_switched_off if {
	denials(["bad"], {}, {"scanRules": {"autoGenerate": false}}) == {"container c0 is rejected"}
	denials(["broken"], {}, {"scanRules": {"autoGenerate": false}}) == set()
}

test_break_glass if {
	found := fixtures.msgs(customscan.violation) with input as fixtures.breaking(["bad"], {}) with external_data as fixtures.provider
	found == set()
}

test_too_many_images_are_denied_whatever_is_accepted if {
	every parameters in [{"scanRules": {"scanFailed": "accept"}}, {"scanRules": {"autoGenerate": false}}] {
		found := unasked(["a", "b", "c"], {}, parameters) with reports.most_images as 2
		found == {"The Pod has 3 distinct images, and no more than 2 can be judged: split it"}
	}
}
