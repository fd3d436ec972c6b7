package customscan_test

import data.customscan
import data.lib.fixtures_test as fixtures
import data.lib.ownrules
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
	beside := {"scanPolicies": {"customPolicies": [{"prefix": "bad", "action": "reject"}]}}
	denials(["bad", "good"], {}, beside) == {"Image 'bad' REJECTED. Global custom policy (prefix 'bad') - policy action is 'reject'"}
}

test_deny_image_is_asked_for_what_pre_scan_accepted_beside_what_is_scanned if {
	beside := {"preScanPolicies": {"customPolicies": [{"prefix": "bad", "action": "accept"}]}}
	denials(["bad", "good"], {}, beside) == {"container c0 is rejected (container 'c0', image 'bad')"}
	unasked(["bad", "bad2"], {}, beside) == set()
}

test_generated_rules_switched_off if {
	denials(["bad"], {}, {"scanRules": {"autoGenerate": false}}) == {"container c0 is rejected"}
	denials(["broken"], {}, {"scanRules": {"autoGenerate": false}}) == set()
}

test_without_any_rules_for_the_reports_nothing_passes if {
	every section in ["scanRules", "scanPolicies"] {
		found := denials(["good"], {}, {section: {"autoGenerate": false}}) with ownrules.judge as false
		found == {sprintf("Configuration error: %s.autoGenerate is false, which leaves no rules for the reports: the template's own have no deny_image", [section])}
	}
	denials(["good"], {}, {"preScanPolicies": {"autoGenerate": false}}) == set()
}

test_the_rules_of_one_phase_switched_off if {
	scanning := {"preScanPolicies": {"defaultPolicy": "reject", "autoGenerate": false}, "scanPolicies": {"defaultPolicy": "scan-result", "autoGenerate": true}}
	denials(["bad"], {}, scanning) == {generated, "container c0 is rejected"}
	denials(["broken"], {}, {"scanPolicies": {"autoGenerate": false, "defaultPolicy": "reject"}}) == set()
	before := {"preScanPolicies": {"customPolicies": [{"prefix": "x/", "action": "reject"}]}, "scanPolicies": {"autoGenerate": false}}
	denials(["x/good"], {}, before) == {"Image 'x/good' REJECTED. Global custom policy (prefix 'x/')"}
	denials(["bad"], {}, before) == {"container c0 is rejected"}
}

test_the_names_that_rules_may_use if {
	label := {"metadata": {"labels": {"names": "yes"}}}
	successor := {"preScanPolicies": {"defaultPolicy": "scan"}, "scanPolicies": {"defaultPolicy": "accept"}}
	denials(["good"], label, successor) == {"in shop by accept"}
	denials(["good"], label, {"scanRules": {"defaultPolicy": "scan-result"}}) == {"in shop by scan-result"}
	denials(["good"], label, {}) == set()
	before := {"metadata": {"labels": {"names": "before"}}}
	unasked(["good"], before, successor) == {"before in shop by scan"}
	unplaced := {"metadata": {"labels": {"names": "before"}, "namespace": ""}}
	unasked(["good"], unplaced, successor) == {"before in  by scan"}
}

test_the_namespace_of_the_request_where_the_object_has_none if {
	found := fixtures.msgs(customscan.violation) with input as {
		"review": object.union(fixtures.review(object.union(fixtures.pod(["good"]), {"metadata": {"namespace": "", "labels": {"names": "before"}}})), {"namespace": "request"}),
		"parameters": {"preScanPolicies": {"defaultPolicy": "scan"}},
	}
		with external_data as fixtures.never
	found == {"before in request by scan"}
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
