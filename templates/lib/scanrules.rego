# The two spellings of the image scan policy, read into policies by prefix.
package lib.scanrules

import data.lib.pod
import data.lib.prefixes
import data.lib.settings
import future.keywords

# A section of the parameters; an empty one where it is not given.
section(name) := found if {
	found := settings.value(input.parameters, [name])
} else := {}

# A key's value and scope: the namespace's own, else the top level's, else what
# holds where neither is set.
scoped(from, key, fallback) := {"value": found, "scope": sprintf("Namespace '%s'", [pod.namespace])} if {
	found := settings.value(from, ["byNamespace", pod.namespace, key])
} else := {"value": object.get(from, key, null), "scope": "Global"} if {
	settings.value(from, [key])
} else := {"value": fallback, "scope": "Global"}

# The section that judges the reports: the article's ("Performing Image Scanning on
# Admission Controller with OPA", https://sysdig.com/blog/image-scanning-admission-controller/)
# or its successor's.
judging := "scanRules" if {
	settings.value(input.parameters, ["scanRules"])
} else := "scanPolicies"

# Before the scan. The article's scanRules has no such phase: all is scanned, as
# it is with this phase's rules switched off.
pre_scan := prefixes.policy(
	custom_rules(before_scan),
	default_action(before_scan, "scan"),
)

before_scan := {} if {
	section("preScanPolicies").autoGenerate == false
} else := section("preScanPolicies")

# Whether the rules that judge the reports are switched off.
scan_off if section(judging).autoGenerate == false

# With the reports at hand.
scan := object.union(
	prefixes.policy(scan_rules, default_action(section(judging), "scan-result")),
	{
		"reportPending": scoped(section(judging), "reportPending", "reject").value,
		"scanFailed": scoped(section(judging), "scanFailed", "reject").value,
	},
)

scan_rules := array.concat(custom_rules(section(judging)), listed_rules(section(judging)))

default_action(from, fallback) := {"action": found.value, "scope": found.scope} if {
	found := scoped(from, "defaultPolicy", fallback)
}

# The successor's list, in its order.
custom_rules(from) := [object.union(rule, {"scope": found.scope}) |
	found := scoped(from, "customPolicies", [])
	some rule in found.value
]

# The article's lists, the strictest first.
listed_rules(from) := [{"prefix": prefix, "action": list.action, "scope": found.scope} |
	some list in article_lists
	found := scoped(from, list.key, [])
	some prefix in found.value
]

article_lists := [
	{"key": "alwaysReject", "action": "reject"},
	{"key": "alwaysScanResult", "action": "scan-result"},
	{"key": "alwaysAccept", "action": "accept"},
]
