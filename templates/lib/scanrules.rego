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

# What a section says for the Pod's namespace.
own[name] := found if {
	some name, key in settings.held
	not off(name)
	found := settings.value(input.parameters, [name, "byNamespace", key])
}

# What it says for all.
everywhere[name] := found if {
	some name in ["scanRules", "preScanPolicies", "scanPolicies"]
	not off(name)
	found := settings.value(input.parameters, [name])
}

# A key's value and scope: the namespace's own, else the top level's, else what
# holds where neither is set.
scoped(name, key, fallback) := {"value": found, "scope": sprintf("Namespace '%s'", [pod.namespace])} if {
	found := own[name][key]
	found != null
} else := {"value": found, "scope": "Global"} if {
	found := everywhere[name][key]
	found != null
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
	custom_rules("preScanPolicies"),
	default_action("preScanPolicies", "scan"),
)

off("preScanPolicies") if section("preScanPolicies").autoGenerate == false

# Whether the rules that judge the reports are switched off.
scan_off if section(judging).autoGenerate == false

# With the reports at hand.
scan := object.union(
	prefixes.policy(scan_rules, default_action(judging, "scan-result")),
	{
		"reportPending": scoped(judging, "reportPending", "reject").value,
		"scanFailed": scoped(judging, "scanFailed", "reject").value,
	},
)

scan_rules := array.concat(custom_rules(judging), listed_rules(judging))

default_action(name, fallback) := {"action": found.value, "scope": found.scope} if {
	found := scoped(name, "defaultPolicy", fallback)
}

# The successor's list, in its order.
custom_rules(name) := [group |
	found := scoped(name, "customPolicies", [])
	count(found.value) > 0
	group := {
		"scope": found.scope,
		"prefixes": [prefix | prefix := found.value[_].prefix],
		"actions": [action | action := found.value[_].action],
	}
]

# The article's lists, the strictest first.
listed_rules(name) := [{"scope": found.scope, "prefixes": found.value, "action": list.action} |
	some list in article_lists
	found := scoped(name, list.key, [])
	count(found.value) > 0
]

article_lists := [
	{"key": "alwaysReject", "action": "reject"},
	{"key": "alwaysScanResult", "action": "scan-result"},
	{"key": "alwaysAccept", "action": "accept"},
]
