package imagescanpolicy_test

import data.imagescanpolicy
import data.lib.fixtures_test as fixtures
import data.lib.reports
import future.keywords

# The messages for a Pod with these images, with the provider answering.
denials(images, parameters) := found if {
	found := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.under(images, parameters)
		with external_data as fixtures.provider
}

# The same with a provider that must not be asked.
unasked(images, parameters) := found if {
	found := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.under(images, parameters)
		with external_data as fixtures.never
}

rejected(image, scope) := sprintf("Image '%s' REJECTED. %s", [image, scope])

# What an image of each status is denied for where nothing else is said.
reasons := {
	"bad": "scan result is 'reject': bad for a reason.",
	"broken": "scan failed: broken for a reason.",
	"pending": "scan report is pending: pending for a reason.",
	"odd": "unexpected ScanReport.Status value 'wrongreport': odd for a reason.",
	"unknown": "scan report is pending: no report yet, the image is being scanned: try again shortly.",
	"refused": "scan failed: the reference was refused.",
	"bad?view=full": "scan failed: this is not a valid image reference.",
	"": "scan failed: this is not a valid image reference.",
}

strict_by_default := [
	{},
	{"scanRules": {}},
	{"scanRules": {"defaultPolicy": "scan-result", "reportPending": "reject", "scanFailed": "reject"}},
	{"scanPolicies": {}},
	{"scanPolicies": {"defaultPolicy": "scan-result", "reportPending": "reject", "scanFailed": "reject"}},
	{"preScanPolicies": {}},
	{"preScanPolicies": {"defaultPolicy": "scan"}},
	{"scanRules": {"autoGenerate": true}},
	{"preScanPolicies": {"autoGenerate": true}, "scanPolicies": {"autoGenerate": true}},
]

test_statuses if {
	every parameters in strict_by_default {
		denials(["good"], parameters) == set()
		every image, reason in reasons {
			denials([image], parameters) == {sprintf("Image '%s' REJECTED. Global default policy - %s", [image, reason])}
		}
	}
}

test_a_status_that_is_missing_or_no_string if {
	answer := {"system_error": "", "errors": [], "responses": [
		["a?namespace=shop", {"ImageAndTag": "a"}],
		["b?namespace=shop", {"ImageAndTag": "b", "Status": null}],
	]}
	found := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.under(["a", "b"], {}) with external_data as answer
	found == {
		"Image 'a' REJECTED. Global default policy - unexpected ScanReport.Status value '<empty>'",
		"Image 'b' REJECTED. Global default policy - unexpected ScanReport.Status value 'null'",
	}
}

test_provider_down if {
	denials_ := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.under(["good"], {})
		with external_data as {"system_error": "connection refused", "errors": null, "responses": null, "status_code": 500}
	denials_ == {"Image 'good' REJECTED. Global default policy - scan failed: the scan provider 'imagegate-provider' could not be asked: connection refused."}
}

test_every_image_must_pass if {
	count(denials(["good", "bad", "broken"], {})) == 2
	denials(["good", "good:1"], {}) == set()
}

test_pending_and_failed_may_be_accepted if {
	every section in ["scanRules", "scanPolicies"] {
		lax := {section: {"reportPending": "accept", "scanFailed": "accept"}}
		every image in ["good", "pending", "broken", "unknown", "refused"] {
			denials([image], lax) == set()
		}
		count(denials(["bad"], lax)) == 1
		count(denials(["odd"], lax)) == 1
		count(denials(["pending"], {section: {"scanFailed": "accept"}})) == 1
		count(denials(["broken"], {section: {"reportPending": "accept"}})) == 1
		by_namespace := {section: {"reportPending": "reject", "scanFailed": "reject", "byNamespace": {"shop": {"reportPending": "accept"}}}}
		denials(["pending"], by_namespace) == set()
		count(denials(["broken"], by_namespace)) == 1
		strict_there := {section: {"reportPending": "accept", "byNamespace": {"shop": {"reportPending": "reject"}}}}
		count(denials(["pending"], strict_there)) == 1
	}
}

test_default_policies if {
	every section in ["scanRules", "scanPolicies"] {
		every image in ["good", "bad", "pending", "broken", "odd", "unknown", "refused"] {
			denials([image], {section: {"defaultPolicy": "accept"}}) == set()
			unasked([image], {section: {"defaultPolicy": "reject"}}) == {rejected(image, "Global default policy - policy action is 'reject'")}
		}
		unasked(["good"], {section: {"defaultPolicy": "accept", "byNamespace": {"shop": {"defaultPolicy": "reject"}}}}) == {rejected("good", "Namespace 'shop' default policy - policy action is 'reject'")}
		denials(["bad"], {section: {"defaultPolicy": "reject", "byNamespace": {"shop": {"defaultPolicy": "accept"}}}}) == set()
		denials(["good"], {section: {"defaultPolicy": "reject", "byNamespace": {"shop": {"defaultPolicy": "scan-result"}}}}) == set()
		denials(["bad"], {section: {"defaultPolicy": "reject", "byNamespace": {"sh*": {"defaultPolicy": "accept"}}}}) == set()
		denials(["bad"], {section: {"defaultPolicy": "reject", "byNamespace": {"sh*": {"defaultPolicy": "reject"}, "sho*": {"defaultPolicy": "accept"}, "dev": {}}}}) == set()
		unasked(["good"], {section: {"defaultPolicy": "accept", "byNamespace": {"sh*": {"defaultPolicy": "reject"}}}}) == {rejected("good", "Namespace 'shop' default policy - policy action is 'reject'")}
		denials(["bad"], {section: {"byNamespace": {"other": {"defaultPolicy": "accept"}}}}) == {rejected("bad", "Global default policy - scan result is 'reject': bad for a reason.")}
	}
}

test_lists_the_strictest_first if {
	all := {"scanRules": {"alwaysReject": ["x/bad"], "alwaysScanResult": ["x/b"], "alwaysAccept": ["x/"], "defaultPolicy": "reject"}}
	unasked(["x/bad"], all) == {rejected("x/bad", "Global custom policy (prefix 'x/bad') - policy action is 'reject'")}
	denials(["x/broken"], all) == {rejected("x/broken", "Global custom policy (prefix 'x/b') - scan failed: broken for a reason.")}
	denials(["x/odd"], all) == set()
	unasked(["y/good"], all) == {rejected("y/good", "Global default policy - policy action is 'reject'")}
}

test_lists_of_a_namespace if {
	rules := {"scanRules": {
		"defaultPolicy": "scan-result",
		"alwaysReject": ["x/"],
		"alwaysAccept": ["y/"],
		"byNamespace": {"shop": {"alwaysReject": ["z/"]}},
	}}
	denials(["x/good", "y/bad"], rules) == set()
	unasked(["z/good"], rules) == {rejected("z/good", "Namespace 'shop' custom policy (prefix 'z/') - policy action is 'reject'")}
	emptied := {"scanRules": {"alwaysReject": ["x/"], "byNamespace": {"shop": {"defaultPolicy": "accept", "alwaysReject": []}}}}
	denials(["x/bad"], emptied) == set()
	kept := {"scanRules": {"alwaysReject": ["x/"], "byNamespace": {"shop": {"defaultPolicy": "accept"}}}}
	unasked(["x/good"], kept) == {rejected("x/good", "Global custom policy (prefix 'x/') - policy action is 'reject'")}
	scanned := {"scanRules": {"defaultPolicy": "accept", "byNamespace": {"shop": {"alwaysScanResult": ["x/"]}}}}
	denials(["x/bad", "y/bad"], scanned) == {rejected("x/bad", "Namespace 'shop' custom policy (prefix 'x/') - scan result is 'reject': bad for a reason.")}
}

custom(section, action) := {section: {"defaultPolicy": action, "customPolicies": [
	{"prefix": "x/good", "action": "accept"},
	{"prefix": "x/", "action": "reject"},
]}}

test_custom_policies_in_their_order if {
	policies := custom("scanPolicies", "scan-result")
	denials(["x/good", "good"], policies) == set()
	unasked(["x/bad"], policies) == {rejected("x/bad", "Global custom policy (prefix 'x/') - policy action is 'reject'")}
	denials(["y/bad"], policies) == {rejected("y/bad", "Global default policy - scan result is 'reject': bad for a reason.")}
}

test_custom_policies_of_a_namespace if {
	replaced := object.union(custom("scanPolicies", "scan-result"), {"scanPolicies": {"byNamespace": {"shop": {"customPolicies": [{"prefix": "x/b", "action": "scan-result"}]}}}})
	denials(["x/bad", "x/odd"], replaced) == {
		rejected("x/bad", "Namespace 'shop' custom policy (prefix 'x/b') - scan result is 'reject': bad for a reason."),
		rejected("x/odd", "Global default policy - unexpected ScanReport.Status value 'wrongreport': odd for a reason."),
	}
	emptied := object.union(custom("scanPolicies", "accept"), {"scanPolicies": {"byNamespace": {"shop": {"customPolicies": []}}}})
	denials(["x/bad"], emptied) == set()
	before_default := object.union(custom("scanPolicies", "scan-result"), {"scanPolicies": {"byNamespace": {"shop": {"defaultPolicy": "accept"}}}})
	unasked(["x/bad"], before_default) == {rejected("x/bad", "Global custom policy (prefix 'x/') - policy action is 'reject'")}
	denials(["y/bad"], before_default) == set()
}

test_pre_scan_rejects_the_pod_without_a_scan if {
	unasked(["good"], {"preScanPolicies": {"defaultPolicy": "reject"}}) == {rejected("good", "Global default policy")}
	unasked(["x/a", "y/bad"], custom("preScanPolicies", "scan")) == {rejected("x/a", "Global custom policy (prefix 'x/')")}
	unasked(["x/good", "x/b"], custom("preScanPolicies", "scan")) == {rejected("x/b", "Global custom policy (prefix 'x/')")}
	by_namespace := {"preScanPolicies": {"defaultPolicy": "accept", "byNamespace": {"shop": {"defaultPolicy": "reject"}}}}
	unasked(["good"], by_namespace) == {rejected("good", "Namespace 'shop' default policy")}
	own_list := {"preScanPolicies": {"byNamespace": {"shop": {"customPolicies": [{"prefix": "x/", "action": "reject"}]}}}}
	unasked(["x/a"], own_list) == {rejected("x/a", "Namespace 'shop' custom policy (prefix 'x/')")}
}

test_pre_scan_accepts_the_pod_without_a_scan if {
	unasked(["bad", "broken"], {"preScanPolicies": {"defaultPolicy": "accept"}, "scanPolicies": {"defaultPolicy": "reject"}}) == set()
	unasked(["x/good"], custom("preScanPolicies", "reject")) == set()
}

test_only_images_to_scan_go_on if {
	policies := {
		"preScanPolicies": {"defaultPolicy": "scan", "customPolicies": [{"prefix": "x/", "action": "accept"}]},
		"scanPolicies": {"defaultPolicy": "scan-result"},
	}
	denials(["x/bad", "good"], policies) == set()
	denials(["x/bad", "bad"], policies) == {rejected("bad", "Global default policy - scan result is 'reject': bad for a reason.")}
	found := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.under(["x/bad", "y"], policies) with external_data as fixtures.never
	found == {rejected("y", "Global default policy - scan failed: the scan provider 'imagegate-provider' could not be asked: asked for [\"y?namespace=shop\"].")}
}

test_accepted_images_are_scanned_all_the_same if {
	asked := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.under(["bad", "x/good"], {"scanPolicies": {"defaultPolicy": "accept", "customPolicies": [{"prefix": "x/", "action": "scan-result"}]}})
		with external_data as fixtures.never
	asked == {rejected("x/good", "Global custom policy (prefix 'x/') - scan failed: the scan provider 'imagegate-provider' could not be asked: asked for [\"bad?namespace=shop\", \"x/good?namespace=shop\"].")}
}

test_duplicates_are_asked_for_once if {
	asked := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.under(["a", "a", "b"], {"keyContext": "none"})
		with external_data as fixtures.never
	asked == {sprintf("Image '%s' REJECTED. Global default policy - scan failed: the scan provider 'imagegate-provider' could not be asked: asked for [\"a\", \"b\"].", [image]) | some image in ["a", "b"]}
}

test_the_view_is_asked_for if {
	asked := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.under(["a"], {"keyContext": "none", "view": "full"})
		with external_data as fixtures.never
	asked == {"Image 'a' REJECTED. Global default policy - scan failed: the scan provider 'imagegate-provider' could not be asked: asked for [\"a?view=full\"]."}
}

test_a_configuration_error_denies if {
	unasked(["good"], {"scanRules": {"defaultPolicy": "acept"}}) == {"Configuration error: invalid value for scanRules.defaultPolicy - 'acept', must be one of accept, reject, scan-result"}
	unasked(["good"], {"preScanPolicies": {"defaultPolicy": "accept"}, "scanPolicies": {"scanFailed": "x"}}) == {"Configuration error: invalid value for scanPolicies.scanFailed - 'x', must be one of accept, reject"}
	unasked([], {"scanRules": {"defaultPolicy": "acept"}}) == set()
}

test_no_generated_rules_is_a_mistake if {
	off := {"scanRules": {"autoGenerate": false, "defaultPolicy": "accept"}}
	unasked(["good"], off) == {"Configuration error: scanRules.autoGenerate is false, which leaves no rules: make a template of your own rules instead"}
	unasked([], off) == set()
	unasked(["good"], {"preScanPolicies": {}, "scanPolicies": {"autoGenerate": false}}) == {"Configuration error: scanPolicies.autoGenerate is false, which leaves no rules: make a template of your own rules instead"}
}

test_pre_scan_rules_switched_off_leave_all_to_the_scan if {
	off := {"preScanPolicies": {"autoGenerate": false, "defaultPolicy": "accept", "customPolicies": [{"prefix": "good", "action": "reject"}]}}
	denials(["good"], off) == set()
	denials(["bad"], off) == {rejected("bad", "Global default policy - scan result is 'reject': bad for a reason.")}
}

# What the mutator pinned, with what the provider has seen and what it has not.
pinned(pairs, parameters) := found if {
	found := fixtures.msgs(imagescanpolicy.violation) with input as {"review": fixtures.review(fixtures.pinned(pairs)), "parameters": parameters}
		with external_data as fixtures.provider
}

test_a_vouched_tag_is_the_name_of_the_image if {
	pinned([["bad@sha256:abc", "bad:seen"]], {}) == {"Image 'bad:seen' REJECTED. Global default policy - scan result is 'reject': bad for a reason. It is pinned to 'bad@sha256:abc'."}
	pinned([["bad@sha256:abc", "bad:seen"], ["bad@sha256:abc", "bad:forged"]], {}) == {
		"Image 'bad:seen' REJECTED. Global default policy - scan result is 'reject': bad for a reason. It is pinned to 'bad@sha256:abc'.",
		"Image 'bad@sha256:abc' REJECTED. Global default policy - scan result is 'reject': bad for a reason. The Pod was written with 'bad:forged'.",
	}
}

test_a_tag_beside_the_digest_is_vouched_for_too if {
	pinned([["bad:seen@sha256:abc", ""]], {}) == {"Image 'bad:seen' REJECTED. Global default policy - scan result is 'reject': bad for a reason. It is pinned to 'bad:seen@sha256:abc'."}
	pinned([["bad:1@sha256:abc", ""]], {}) == {"Image 'bad:1@sha256:abc' REJECTED. Global default policy - scan result is 'reject': bad for a reason."}
}

test_rules_by_tag_hold_for_what_was_pinned if {
	by_tag := {"scanRules": {"defaultPolicy": "reject", "alwaysAccept": ["bad:seen", "bad:forged"]}}
	pinned([["bad@sha256:abc", "bad:seen"]], by_tag) == set()
	pinned([["bad@sha256:abc", "bad:forged"]], by_tag) == {"Image 'bad@sha256:abc' REJECTED. Global default policy - policy action is 'reject': The Pod was written with 'bad:forged'."}
	against := {"scanRules": {"defaultPolicy": "accept", "alwaysReject": ["good:seen", "good:forged"]}}
	pinned([["good@sha256:abc", "good:seen"]], against) == {"Image 'good@sha256:abc' REJECTED. Global custom policy (prefix 'good:seen') - policy action is 'reject': The Pod was written with 'good:seen'."}
	pinned([["good@sha256:abc", "good:forged"]], against) == {"Image 'good@sha256:abc' REJECTED. Global custom policy (prefix 'good:forged') - policy action is 'reject': The Pod was written with 'good:forged'."}
	saved := {"scanRules": {"defaultPolicy": "reject", "alwaysScanResult": ["bad:seen"]}}
	pinned([["bad@sha256:abc", "bad:seen"]], saved) == {"Image 'bad:seen' REJECTED. Global custom policy (prefix 'bad:seen') - scan result is 'reject': bad for a reason. It is pinned to 'bad@sha256:abc'."}
	first := {"scanPolicies": {"defaultPolicy": "accept", "customPolicies": [{"prefix": "bad:forged", "action": "accept"}, {"prefix": "bad:", "action": "scan-result"}, {"prefix": "bad@", "action": "reject"}]}}
	pinned([["bad@sha256:abc", "bad:seen"]], first) == {"Image 'bad:seen' REJECTED. Global custom policy (prefix 'bad:') - scan result is 'reject': bad for a reason. It is pinned to 'bad@sha256:abc'."}
}

test_a_mirror_pod_is_not_judged_for_its_node if {
	static := object.union(fixtures.pod_with({"nodeName": "n1", "containers": [{"name": "c", "image": "bad"}]}), {"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}})
	node := object.union(fixtures.review(static), {"userInfo": {"username": "system:node:n1", "groups": ["system:nodes"]}})
	sent := fixtures.msgs(imagescanpolicy.violation) with input as {"review": node, "parameters": {}} with external_data as fixtures.never
	sent == set()
	audited := fixtures.msgs(imagescanpolicy.violation) with input as {"review": object.remove(node, ["userInfo", "operation"]), "parameters": {}}
		with external_data as fixtures.provider
	count(audited) == 1
	forged := fixtures.msgs(imagescanpolicy.violation) with input as {"review": fixtures.review(static), "parameters": {}}
		with external_data as fixtures.provider
	forged == audited
}

test_what_helps_the_reader_comes_last if {
	pinned := object.union(fixtures.pod(["bad@sha256:abc"]), {"metadata": {"annotations": {"original-image.imagegate.dev/c0": "bad:1"}}})
	helped := {"review": fixtures.review(pinned), "parameters": {"help": "Ask #security for an exception."}}
	found := fixtures.msgs(imagescanpolicy.violation) with input as helped with external_data as fixtures.provider
	found == {"Image 'bad@sha256:abc' REJECTED. Global default policy - scan result is 'reject': bad for a reason. The Pod was written with 'bad:1'. Ask #security for an exception."}
	by_action := object.union(helped, {"parameters": {"scanPolicies": {"defaultPolicy": "reject"}}})
	told := fixtures.msgs(imagescanpolicy.violation) with input as by_action with external_data as fixtures.never
	told == {"Image 'bad@sha256:abc' REJECTED. Global default policy - policy action is 'reject': The Pod was written with 'bad:1'. Ask #security for an exception."}
}

test_a_rejection_before_the_scan_tells_where_to_ask if {
	outright := {"scanPolicies": {}, "preScanPolicies": {"customPolicies": [{"prefix": "bad", "action": "reject"}]}, "help": "Ask #security for an exception."}
	unasked(["bad"], outright) == {rejected("bad", "Global custom policy (prefix 'bad'): Ask #security for an exception.")}
}

test_details if {
	found := imagescanpolicy.violation with input as fixtures.under(["bad", "bad"], {}) with external_data as fixtures.provider
	{violation.details | some violation in found} == {{"phase": "scan", "image": "bad", "containers": ["c0", "c1"], "status": "rejected"}}
	rejected_outright := imagescanpolicy.violation with input as fixtures.under(["bad"], {"scanPolicies": {"defaultPolicy": "reject"}})
	{violation.details | some violation in rejected_outright} == {{"phase": "scan", "image": "bad", "containers": ["c0"]}}
	before := imagescanpolicy.violation with input as fixtures.under(["bad"], {"preScanPolicies": {"defaultPolicy": "reject"}})
	{violation.details | some violation in before} == {{"phase": "pre-scan", "image": "bad", "containers": ["c0"]}}
	wrong := imagescanpolicy.violation with input as fixtures.under(["bad"], {"view": "x"})
	{violation.details | some violation in wrong} == {{"phase": "configuration"}}
}

test_other_kinds_and_unchanged_images_pass if {
	running := fixtures.pod(["bad"])
	update := {"review": object.union(fixtures.review(running), {"operation": "UPDATE", "oldObject": running}), "parameters": {"scanPolicies": {"defaultPolicy": "reject"}}}
	found := imagescanpolicy.violation with input as update with external_data as fixtures.never
	found == set()
}

test_break_glass if {
	found := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.breaking(["bad"], {}) with external_data as fixtures.provider
	found == set()
	told := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.breaking(["bad"], {"report": "warnings"}) with external_data as fixtures.provider
	told == {"Break-glass: admitted for 'alice', reason 'incident 7', in spite of: Image 'bad' REJECTED. Global default policy - scan result is 'reject': bad for a reason."}
}

overfull(parameters) := found if {
	found := fixtures.msgs(imagescanpolicy.violation) with input as fixtures.under(["bad1", "bad2", "bad3"], parameters)
		with external_data as fixtures.never
		with reports.most_images as 2
}

test_too_many_images_are_denied_whatever_is_accepted if {
	every parameters in [
		{"scanRules": {"scanFailed": "accept", "reportPending": "accept"}},
		{"scanRules": {"defaultPolicy": "accept"}},
		{"preScanPolicies": {"defaultPolicy": "accept"}},
		{"preScanPolicies": {"defaultPolicy": "reject"}},
	] {
		overfull(parameters) == {"The Pod has 3 distinct images, and no more than 2 can be judged: split it"}
	}
}
