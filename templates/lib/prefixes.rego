# Decisions by image prefix.
#
# A decision is {"action", "scope"} with the scope as messages print it.
package lib.prefixes

import data.lib.pod
import data.lib.reference
import future.keywords

# A policy, made of rules {"prefix", "action", "scope"} and what holds where
# none matches, {"action", "scope"}.
policy(rules, otherwise) := {
	"default": {"action": otherwise.action, "scope": sprintf("%s default policy", [otherwise.scope]), "index": count(rules)},
	"rules": rules,
	"prefixes": [rule.prefix | some rule in rules],
	"folded": {"rules": rules, "prefixes": [reference.folded_prefix(rule.prefix) | some rule in rules]},
}

severity := {"accept": 0, "scan": 1, "scan-result": 1, "reject": 2}

# The decision for an image. The first rule that matches a spelling wins for
# that spelling; among the spellings the more restrictive one wins. Spellings
# that the rules were not written for only tighten what the others say.
decide(image, policy) := tightened(said, [m | some m in tightening(image, policy); severity[m.action] > severity[said.action]]) if {
	# Beside a digest a tag earns nothing: anybody may write it there.
	said := strictest([plain(reading, policy) | some reading in reference.sound(image)])
}

plain(image, policy) := strictest(found) if {
	found := matches(reference.readings(image), policy)
	count(found) > 0
} else := policy["default"]

tightened(said, []) := object.remove(said, ["index"])

tightened(_, stricter) := object.remove(strictest(stricter), ["index"]) if count(stricter) > 0

# What spellings say that can only tighten, hosts in the rules being read as
# those in references.
tightening(image, policy) := array.concat(matches(spellings, policy), matches(folded, policy.folded)) if {
	spellings := others(image)
	folded := {reference.folded(spelling) | some spelling in (spellings | reference.readings(image))}
}

# The other spellings, with those of the reference that was pinned.
others(image) := union({reference.other_spellings(image)} | {spellings |
	some original in pod.originals(image)
	spellings := reference.readings(original) | reference.other_spellings(original)
})

# The first matching rule for each of the spellings.
matches(spellings, policy) := [match |
	strings.any_prefix_match(spellings, policy.prefixes)
	some spelling in spellings
	match := first(spelling, policy)
]

first(spelling, policy) := {
	"index": indices[0],
	"action": rule.action,
	"scope": sprintf("%s custom policy (prefix '%s')", [rule.scope, rule.prefix]),
} if {
	indices := [i | some i, prefix in policy.prefixes; startswith(spelling, prefix)]
	rule := policy.rules[indices[0]]
}

# The most restrictive of some decisions; of several, the one listed first.
strictest(found) := ordered[0][2] if {
	ordered := sort([[0 - severity[match.action], match.index, match] | some match in found])
}

# Whether an image, as written or normalised, starts with one of some prefixes.
listed(image, prefixes) if strings.any_prefix_match(reference.readings(image), prefixes)
