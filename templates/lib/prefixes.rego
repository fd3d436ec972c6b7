# Decisions by image prefix.
#
# A decision is {"action", "scope"} with the scope as messages print it.
package lib.prefixes

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

# The decision for a subject, an image and what is claimed to have been written
# for it. The first rule that matches a spelling of the image wins for that
# spelling; among the spellings the more restrictive one wins. Spellings that the
# rules were not written for, and the claim, only tighten what the others say.
decide([image, written], policy) := tightened(said, [m | some m in stricter; severity[m.action] > severity[said.action]]) if {
	# Beside a digest a tag earns nothing: anybody may write it there.
	said := strictest([plain(reading, policy) | some reading in reference.sound(image)])
	spellings := reference.other_spellings(image) | spellings_of(written)
	stricter := tightening(spellings, spellings | reference.readings(image), policy, {"plain": set(), "folded": set()})
}

# The decision for a subject whose claim is true: what was written is what the
# rules are held against, with those that name the digest in their places.
decide_vouched([image, written], policy) := tightened(said, [m | some m in stricter; severity[m.action] > severity[said.action]]) if {
	exact := {spelling | some reading in reference.sound(image); some spelling in reference.readings(reading)}
	named := by_digest(exact, policy)
	said := otherwise(matches(reference.readings(written), policy, named), otherwise(earliest(named, policy), policy["default"]))
	spellings := exact | reference.other_spellings(image)
	also := {
		"plain": by_digest(spellings, policy),
		"folded": by_digest({reference.folded(spelling) | some spelling in spellings}, policy.folded),
	}
	stricter := array.concat(
		tightening(reference.other_spellings(written), spellings_of(written), policy, also),
		[m | some m in earliest(also.plain | also.folded, policy); m.index < said.index],
	)
}

plain(image, policy) := otherwise(matches(reference.readings(image), policy, set()), policy["default"])

otherwise([], fallback) := fallback

otherwise(found, _) := strictest(found) if count(found) > 0

tightened(said, []) := object.remove(said, ["index"])

tightened(_, stricter) := object.remove(strictest(stricter), ["index"]) if count(stricter) > 0

# What spellings say that can only tighten, hosts in the rules being read as
# those in references; also are rules that hold whatever the spelling.
tightening(spellings, all, policy, also) := array.concat(matches(spellings, policy, also.plain), matches(folded, policy.folded, also.folded)) if {
	folded := {reference.folded(spelling) | some spelling in all}
}

spellings_of("") := set()

spellings_of(written) := reference.readings(written) | reference.other_spellings(written) if written != ""

# The rules that name an image by a digest, by their index.
by_digest(spellings, policy) := {i |
	some i, prefix in policy.prefixes
	contains(prefix, "@")
	some spelling in spellings
	startswith(spelling, prefix)
}

# The first of the rules that match each of the spellings, or of those and the
# rules also, by their index.
matches(spellings, policy, also) := [decision(policy.rules, min(indices | also)) |
	strings.any_prefix_match(spellings, policy.prefixes)
	some spelling in spellings
	indices := {i | some i, prefix in policy.prefixes; startswith(spelling, prefix)}
	count(indices) > 0
]

# The decision of the first of some rules.
earliest(indices, policy) := [decision(policy.rules, min(indices)) | count(indices) > 0]

decision(rules, index) := {
	"index": index,
	"action": rule.action,
	"scope": sprintf("%s custom policy (prefix '%s')", [rule.scope, rule.prefix]),
} if {
	rule := rules[index]
}

# The most restrictive of some decisions; of several, the one listed first.
strictest(found) := ordered[0][2] if {
	ordered := sort([[0 - severity[match.action], match.index, match] | some match in found])
}

# Whether an image, as written or normalised, starts with one of some prefixes.
listed(image, prefixes) if strings.any_prefix_match(reference.readings(image), prefixes)
