package lib.config_test

import data.lib.config
import future.keywords

errors(parameters) := found if {
	found := config.mistakes with input as {"review": {"namespace": "shop", "object": {}}, "parameters": parameters}
}

# Wrong parameters with the one sentence that each must cause.
wrong := [
	[{"scanRules": {"defaultPolicy": "acept"}}, "invalid value for scanRules.defaultPolicy - 'acept', must be one of accept, reject, scan-result"],
	[{"scanRules": {"defaultPolicy": "scan"}}, "invalid value for scanRules.defaultPolicy - 'scan', must be one of accept, reject, scan-result"],
	[{"scanRules": {"reportPending": "scan-result"}}, "invalid value for scanRules.reportPending - 'scan-result', must be one of accept, reject"],
	[{"scanRules": {"scanFailed": 1}}, "invalid value for scanRules.scanFailed - '1', must be one of accept, reject"],
	[{"scanRules": {"defaultPolicy": ""}}, "invalid value for scanRules.defaultPolicy - '', must be one of accept, reject, scan-result"],
	[{"scanRules": {"defaultPolicy": false}}, "invalid value for scanRules.defaultPolicy - 'false', must be one of accept, reject, scan-result"],
	[{"scanRules": {"byNamespace": {"shop": {"scanFailed": "x"}}}}, "invalid value for scanRules.byNamespace.shop.scanFailed - 'x', must be one of accept, reject"],
	[{"preScanPolicies": {"defaultPolicy": "scan-result"}}, "invalid value for preScanPolicies.defaultPolicy - 'scan-result', must be one of accept, reject, scan"],
	[{"scanPolicies": {"defaultPolicy": "scan"}}, "invalid value for scanPolicies.defaultPolicy - 'scan', must be one of accept, reject, scan-result"],
	[{"scanPolicies": {"reportPending": "x"}}, "invalid value for scanPolicies.reportPending - 'x', must be one of accept, reject"],
	[{"scanPolicies": {"byNamespace": {"shop": {"defaultPolicy": "x"}}}}, "invalid value for scanPolicies.byNamespace.shop.defaultPolicy - 'x', must be one of accept, reject, scan-result"],
	[{"scanRules": {"alwasyAccept": []}}, "unknown key scanRules.alwasyAccept"],
	[{"scanRules": {"customPolicies": []}}, "unknown key scanRules.customPolicies"],
	[{"scanPolicies": {"alwaysAccept": []}}, "unknown key scanPolicies.alwaysAccept"],
	[{"preScanPolicies": {"reportPending": "reject"}}, "unknown key preScanPolicies.reportPending"],
	[{"scanPolicies": {"byNamespace": {"shop": {"byNamespace": {}}}}}, "unknown key scanPolicies.byNamespace.shop.byNamespace"],
	[{"scanRules": {"alwaysReject": "a/"}}, "scanRules.alwaysReject must be a list"],
	[{"preScanPolicies": {"customPolicies": "a/"}}, "preScanPolicies.customPolicies must be a list"],
	[{"scanRules": {"alwaysReject": [""]}}, "invalid value for scanRules.alwaysReject - '', must be an image prefix"],
	[{"scanRules": {"byNamespace": {"shop": {"alwaysAccept": ["a/", null]}}}}, "invalid value for scanRules.byNamespace.shop.alwaysAccept - 'null', must be an image prefix"],
	[{"scanPolicies": {"customPolicies": [{"action": "accept"}]}}, "invalid value for scanPolicies.customPolicies[0].prefix - '<empty>', must be an image prefix"],
	[{"scanPolicies": {"customPolicies": [{"prefix": "", "action": "accept"}]}}, "invalid value for scanPolicies.customPolicies[0].prefix - '', must be an image prefix"],
	[{"scanPolicies": {"customPolicies": [{"prefix": "a/"}]}}, "invalid value for scanPolicies.customPolicies[0].action - '<empty>', must be one of accept, reject, scan-result"],
	[{"scanPolicies": {"customPolicies": [{"prefix": "a/", "action": "accept"}, {"prefix": "a/", "action": "scan"}]}}, "invalid value for scanPolicies.customPolicies[1].action - 'scan', must be one of accept, reject, scan-result"],
	[{"preScanPolicies": {"customPolicies": [{"prefix": "a/", "action": "scan-result"}]}}, "invalid value for preScanPolicies.customPolicies[0].action - 'scan-result', must be one of accept, reject, scan"],
	[{"scanRules": {"alwaysReject": ["a/", "evil.example.com/*"]}}, "invalid value for scanRules.alwaysReject[1] - 'evil.example.com/*', must be an image prefix: no image has a *: write evil.example.com/ for all below it"],
	[{"scanRules": {"byNamespace": {"shop": {"alwaysReject": ["https://evil.example.com/"]}}}}, "invalid value for scanRules.byNamespace.shop.alwaysReject[0] - 'https://evil.example.com/', must be an image prefix: no image has a scheme: write evil.example.com/"],
	[{"scanPolicies": {"customPolicies": [{"prefix": "b/", "action": "accept"}, {"prefix": "ghcr.io/", "action": "accept"}, {"prefix": "ghcr.io/evil/", "action": "reject"}]}}, "scanPolicies.customPolicies[2] never decides: 'ghcr.io/' before it matches all that begins with 'ghcr.io/evil/', and the first match wins; put it first"],
	[{"scanPolicies": {"customPolicies": [{"prefix": "nginx", "action": "scan-result"}, {"prefix": "nginx", "action": "reject"}]}}, "scanPolicies.customPolicies[1] never decides: 'nginx' before it matches all that begins with 'nginx', and the first match wins; put it first"],
	[{"preScanPolicies": {"byNamespace": {"shop": {"customPolicies": [{"prefix": "ghcr.io/", "action": "accept"}, {"prefix": "ghcr.io/b", "action": "scan"}]}}}}, "preScanPolicies.byNamespace.shop.customPolicies[1] never decides: 'ghcr.io/' before it matches all that begins with 'ghcr.io/b', and the first match wins; put it first"],
	[{"breakGlass": {"users": ["alice", "ops-*"]}}, "invalid value for breakGlass.users - 'ops-*', must be a name: no pattern is known here, and none has a *"],
	[{"breakGlass": {"groups": ["*"]}}, "invalid value for breakGlass.groups - '*', must be a name: no pattern is known here, and none has a *"],
	[{"breakGlass": {"annotation": "break glass"}}, "invalid value for breakGlass.annotation - 'break glass', must be the name of an annotation, such as break-glass.imagegate.dev/reason"],
	[{"breakGlass": {"annotation": "a.io/b/c"}}, "invalid value for breakGlass.annotation - 'a.io/b/c', must be the name of an annotation, such as break-glass.imagegate.dev/reason"],
	[{"scanPolicies": {"customPolicies": [{"prefix": "*.example.com/", "action": "reject"}]}}, "invalid value for scanPolicies.customPolicies[0].prefix - '*.example.com/', must be an image prefix: no image has a *: name each registry and path"],
	[{"preScanPolicies": {"customPolicies": [{"prefix": "a.io/Team", "action": "reject"}]}}, "invalid value for preScanPolicies.customPolicies[0].prefix - 'a.io/Team', must be an image prefix: its path has upper case, and no image's has"],
	[{"scanRules": {"byNamespace": {"*shop": {}}}}, "invalid value for scanRules.byNamespace - '*shop', must be a namespace, or the start of some as in dev-*: a * may stand at the end only, as in dev-*"],
	[{"scanPolicies": {"byNamespace": {"Other": {}, "dev": {}}}}, "invalid value for scanPolicies.byNamespace - 'Other', must be a namespace, or the start of some as in dev-*: no namespace is called so: names have lower case, digits and dashes"],
	[{"scanRules": {"byNamespace": {"sh*": {"defaultPolicy": "x"}}}}, "invalid value for scanRules.byNamespace.sh*.defaultPolicy - 'x', must be one of accept, reject, scan-result"],
	[{"scanRules": {"byNamespace": {"sh*": null}}}, "scanRules.byNamespace.sh* is blank: leave it out or give it a value"],
	[{"scanRules": "accept"}, "scanRules must be an object"],
	[{"scanRules": false}, "scanRules must be an object"],
	[{"scanPolicies": {"byNamespace": []}}, "scanPolicies.byNamespace must be an object"],
	[{"scanPolicies": {"byNamespace": {"shop": "accept"}}}, "scanPolicies.byNamespace.shop must be an object"],
	[{"scanRules": {}, "scanPolicies": {}}, "give scanRules or preScanPolicies and scanPolicies, not both"],
	[{"scanRules": {}, "preScanPolicies": {}}, "give scanRules or preScanPolicies and scanPolicies, not both"],
	[{"scanRules": {"autoGenerate": "false"}}, "invalid value for scanRules.autoGenerate - 'false', must be true or false"],
	[{"preScanPolicies": {"autoGenerate": 0}}, "invalid value for preScanPolicies.autoGenerate - '0', must be true or false"],
	[{"scanPolicies": {"byNamespace": {"shop": {"autoGenerate": true}}}}, "unknown key scanPolicies.byNamespace.shop.autoGenerate"],
	[{"scanRules": null}, "scanRules is blank: leave it out or give it a value"],
	[{"scanRules": {"autoGenerate": null}}, "scanRules.autoGenerate is blank: leave it out or give it a value"],
	[{"scanRules": {"alwaysScanResult": null}}, "scanRules.alwaysScanResult is blank: leave it out or give it a value"],
	[{"scanRules": {"byNamespace": null}}, "scanRules.byNamespace is blank: leave it out or give it a value"],
	[{"preScanPolicies": {"byNamespace": {"shop": null}}}, "preScanPolicies.byNamespace.shop is blank: leave it out or give it a value"],
	[{"preScanPolicies": {"byNamespace": {"shop": {"customPolicies": null}}}}, "preScanPolicies.byNamespace.shop.customPolicies is blank: leave it out or give it a value"],
	[{"scanPolicies": {"byNamespace": {"shop": {"customPolicies": null}}}}, "scanPolicies.byNamespace.shop.customPolicies is blank: leave it out or give it a value"],
	[{"scanPolicies": {"defaultPolicy": null}}, "scanPolicies.defaultPolicy is blank: leave it out or give it a value"],
	[{"help": null}, "help is blank: leave it out or give it a value"],
	[{"breakGlass": null}, "breakGlass is blank: leave it out or give it a value"],
	[{"breakGlass": {"annotation": null}}, "breakGlass.annotation is blank: leave it out or give it a value"],
	[{"view": "everything"}, "invalid value for view - 'everything', must be one of summary, findings, full"],
	[{"keyContext": true}, "invalid value for keyContext - 'true', must be one of pod, none"],
	[{"report": "both"}, "invalid value for report - 'both', must be one of violations, warnings"],
	[{"breakGlass": "on"}, "breakGlass must be an object"],
	[{"breakGlass": {"users": "alice"}}, "invalid value for breakGlass.users - 'alice', must be a list of names"],
	[{"breakGlass": {"groups": [""]}}, "invalid value for breakGlass.groups - '[\"\"]', must be a list of names"],
	[{"breakGlass": {"groups": ["system:authenticated"]}}, "invalid value for breakGlass.groups - 'system:authenticated', must be a group that not everybody is in"],
	[{"provider": ""}, "invalid value for provider - '', must be the name of a Provider"],
]

test_wrong_values_are_named if {
	every pair in wrong {
		print(pair[1], errors(pair[0]))
		errors(pair[0]) == {pair[1]}
	}
}

test_entries_that_are_no_objects if {
	errors({"scanPolicies": {"customPolicies": ["a/"]}}) == {
		"invalid value for scanPolicies.customPolicies[0].prefix - '<empty>', must be an image prefix",
		"invalid value for scanPolicies.customPolicies[0].action - '<empty>', must be one of accept, reject, scan-result",
	}
}

right := [
	{},
	{"scanRules": {
		"autoGenerate": true,
		"defaultPolicy": "scan-result",
		"reportPending": "accept",
		"scanFailed": "reject",
		"alwaysAccept": ["a/"],
		"alwaysReject": [],
		"alwaysScanResult": [],
		"byNamespace": {"shop": {"defaultPolicy": "accept", "alwaysReject": []}},
	}},
	{"preScanPolicies": {"defaultPolicy": "scan", "customPolicies": [{"prefix": "a/", "action": "scan"}], "byNamespace": {"other": null}}},
	{"preScanPolicies": {"autoGenerate": true}, "scanPolicies": {"autoGenerate": false}},
	{"scanPolicies": {"defaultPolicy": "accept", "byNamespace": {"shop": {"customPolicies": []}}}},
	{"report": "warnings", "breakGlass": {"users": ["alice"], "groups": ["sre"]}},
	{"scanRules": {"byNamespace": {"sh*": {"defaultPolicy": "x"}, "sho*": {"defaultPolicy": "reject"}}}},
	{"view": "full", "keyContext": "none", "provider": "p"},
]

test_right_values_are_let_through if {
	every parameters in right {
		errors(parameters) == set()
	}
}

test_a_mistake_in_one_namespace_does_not_stop_another if {
	errors({"scanRules": {"byNamespace": {"other": {"defaultPolicy": "x"}}}}) == set()
	errors({"scanRules": {"byNamespace": {"other": {"alwaysReject": null}}}}) == set()
}

# What is laxer or the same behind another lets nothing through, and what stands
# behind a part of itself is asked.
test_order_that_does_not_matter if {
	every rules in [
		[["ghcr.io/evil/", "reject"], ["ghcr.io/", "accept"]],
		[["ghcr.io/", "reject"], ["ghcr.io/team/", "accept"]],
		[["ghcr.io/", "accept"], ["ghcr.io/team/", "accept"]],
		[["ghcr.io/a", "accept"], ["ghcr.io/b", "reject"]],
		[["ghcr.io/", "reject"], ["ghcr.io/a/", "accept"], ["ghcr.io/a/b/", "reject"]],
	] {
		errors({"scanPolicies": {"customPolicies": [{"prefix": rule[0], "action": rule[1]} | some rule in rules]}}) == set()
	}
	errors({"breakGlass": {"annotation": "reason", "users": ["system:serviceaccount:a:b", "x@y.z"], "groups": ["oidc:sre team"]}}) == set()
	errors({"breakGlass": {"annotation": "a.example.com/Why.this_1"}}) == set()
}
