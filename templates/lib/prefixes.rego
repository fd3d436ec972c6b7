# Decisions by image prefix.
#
# A decision is {"action", "scope"} with the scope as messages print it.
package lib.prefixes

import data.lib.reference
import future.keywords

# A policy, made of groups of rules, {"prefixes", "scope"} with the "action" of all or
# the "actions" of each, and of what holds where no rule matches, {"action", "scope"}.
# Rules have their place by the order of the groups.
policy(groups, otherwise) := {
	"default": object.union(decided, {"index": count(prefixes)}),
	"decided": decided,
	"groups": groups,
	"prefixes": prefixes,
	"folded": {"groups": groups, "prefixes": reference.folded_prefixes(prefixes)},
} if {
	prefixes := [prefix | prefix := groups[_].prefixes[_]]
	decided := {"action": otherwise.action, "scope": sprintf("%s default policy", [otherwise.scope])}
}

severity := {"accept": 0, "scan": 1, "scan-result": 1, "reject": 2}

# The decision for a subject, an image and what is claimed to have been written
# for it. The first rule that matches a spelling of the image wins for that
# spelling; among the spellings the more restrictive one wins. Spellings that the
# rules were not written for, and the claim, only tighten what the others say.
decide([image, written], policy) := policy.decided if {
	untouched(image, policy)
	untouched_claim(written, policy)
} else := tightened(said, [m | some m in stricter; severity[m.action] > severity[said.action]]) if {
	# Beside a digest a tag earns nothing: anybody may write it there.
	said := strictest([plain(reading, policy) | some reading in reference.sound(image)])
	spellings := reference.other_spellings(image) | spellings_of(written)
	stricter := tightening(spellings, spellings | reference.readings(image), policy, {"plain": set(), "folded": set()})
}

# The decision for a subject whose claim is true: what was written is what the
# rules are held against, with those that name the digest in their places.
decide_vouched([image, written], policy) := policy.decided if {
	untouched(image, policy)
	untouched(written, policy)
} else := tightened(said, [m | some m in stricter; severity[m.action] > severity[said.action]]) if {
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

# Whether no rule can match: what most rules are for most images.
untouched(_, policy) if count(policy.prefixes) == 0

untouched(image, policy) if {
	reference.usual(image)
	not strings.any_prefix_match(image, policy.prefixes)
	not strings.any_prefix_match(image, policy.folded.prefixes)
}

untouched_claim("", _)

untouched_claim(written, policy) if untouched(written, policy)

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
matches(spellings, policy, also) := [decision(policy.groups, min(indices | also)) |
	strings.any_prefix_match(spellings, policy.prefixes)
	some spelling in spellings
	indices := {i | some i, prefix in policy.prefixes; startswith(spelling, prefix)}
	count(indices) > 0
]

# The decision of the first of some rules.
earliest(indices, policy) := [decision(policy.groups, min(indices)) | count(indices) > 0]

decision(groups, index) := {
	"index": index,
	"action": action(group, at),
	"scope": sprintf("%s custom policy (prefix '%s')", [group.scope, prefix]),
} if {
	some n, group in groups
	at := index - sum([count(earlier.prefixes) | some m, earlier in groups; m < n])
	prefix := group.prefixes[at]
}

action(group, _) := group.action

action(group, at) := group.actions[at]

# The most restrictive of some decisions; of several, the one listed first.
strictest(found) := ordered[0][2] if {
	ordered := sort([[0 - severity[match.action], match.index, match] | some match in found])
}

# Whether an image, as written or normalised, starts with one of some prefixes.
listed(image, prefixes) if strings.any_prefix_match(reference.readings(image), prefixes)
