# Decisions by image prefix.
#
# A policy is {"rules": [{"prefix", "action", "scope"}], "prefixes": those of the
# rules, "default": {"action", "scope"}}; a decision is {"action", "scope"} with
# the scope as messages print it.
package lib.prefixes

import data.lib.pod
import data.lib.reference
import future.keywords

severity := {"accept": 0, "scan": 1, "scan-result": 1, "reject": 2}

# The decision for an image. The first rule that matches a spelling wins for
# that spelling; among the spellings the more restrictive one wins. Spellings
# that the rules were not written for only tighten what the others say.
decide(image, policy) := tightened(said, [m | some m in matches(others(image), policy); severity[m.action] > severity[said.action]]) if {
	said := plain(image, policy)
}

plain(image, policy) := strictest(found) if {
	found := matches(reference.readings(image), policy)
	count(found) > 0
} else := {"action": policy["default"].action, "scope": sprintf("%s default policy", [policy["default"].scope])}

tightened(said, []) := said

tightened(_, stricter) := strictest(stricter) if count(stricter) > 0

# Spellings that can only tighten, with those of the reference that was pinned.
others(image) := union({reference.other_spellings(image)} | {spellings |
	some original in pod.originals(image)
	spellings := reference.readings(original) | reference.other_spellings(original)
})

# The first matching rule for each of the spellings.
matches(spellings, policy) := [match |
	strings.any_prefix_match(spellings, policy.prefixes)
	some spelling in spellings
	match := first(spelling, policy.rules)
]

first(spelling, rules) := {
	"index": indices[0],
	"action": rules[indices[0]].action,
	"scope": sprintf("%s custom policy (prefix '%s')", [rules[indices[0]].scope, rules[indices[0]].prefix]),
} if {
	indices := [i | some i, rule in rules; startswith(spelling, rule.prefix)]
	count(indices) > 0
}

# The most restrictive of some matches; of several, the one listed first.
strictest(found) := object.remove(ordered[0][2], ["index"]) if {
	ordered := sort([[0 - severity[match.action], match.index, match] | some match in found])
}

# Whether an image, as written or normalised, starts with one of some prefixes.
listed(image, prefixes) if strings.any_prefix_match(reference.readings(image), prefixes)
