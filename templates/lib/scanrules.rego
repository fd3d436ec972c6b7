# The two spellings of the image scan policy, the article's ("Performing Image Scanning on
# Admission Controller with OPA", https://sysdig.com/blog/image-scanning-admission-controller/)
# and its successor's, read into policies by prefix.
package lib.scanrules

import data.lib.pod
import data.lib.prefixes
import data.lib.settings
import future.keywords

# What a section says for the Pod's namespace.
own[name] := found if {
	some name, key in settings.held
	not off(name)
	found := settings.sections[name].byNamespace[key]
	found != null
}

# What it says for all.
everywhere[name] := found if {
	some name, found in settings.sections
	not off(name)
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

# Before the scan. The article's scanRules has no such phase: all is scanned, as
# it is with this phase's rules switched off.
pre_scan := prefixes.policy(
	custom_rules("preScanPolicies"),
	default_action("preScanPolicies", "scan"),
)

off("preScanPolicies") if settings.sections.preScanPolicies.autoGenerate == false

# Whether the rules that judge the reports are switched off.
scan_off if settings.sections[settings.judging].autoGenerate == false

# With the reports at hand.
scan := object.union(
	prefixes.policy(scan_rules, default_action(settings.judging, "scan-result")),
	{
		"reportPending": scoped(settings.judging, "reportPending", "reject").value,
		"scanFailed": scoped(settings.judging, "scanFailed", "reject").value,
	},
)

scan_rules := array.concat(custom_rules(settings.judging), listed_rules(settings.judging))

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
