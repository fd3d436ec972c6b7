# What is wrong with the parameters. A schema says most of it at kubectl apply;
# this says the rest, and all of it where no schema was applied. Only the top
# level and the Pod's own namespace are looked at: a mistake in one namespace
# does not stop the others.
package lib.config

import data.lib.patterns
import data.lib.pod
import data.lib.settings
import future.keywords

judged_actions := ["accept", "reject", "scan-result"]

either := ["accept", "reject"]

# What each section may say: keys with one of some values, lists of prefixes,
# and lists of {prefix, action}.
known := {
	"scanRules": {
		"values": {"defaultPolicy": judged_actions, "reportPending": either, "scanFailed": either},
		"prefixes": {"alwaysAccept", "alwaysReject", "alwaysScanResult"},
		"policies": {},
	},
	"preScanPolicies": {
		"values": {"defaultPolicy": ["accept", "reject", "scan"]},
		"prefixes": set(),
		"policies": {"customPolicies": ["accept", "reject", "scan"]},
	},
	"scanPolicies": {
		"values": {"defaultPolicy": judged_actions, "reportPending": either, "scanFailed": either},
		"prefixes": set(),
		"policies": {"customPolicies": judged_actions},
	},
}

# Keys that only stand at the top of a section.
at_top := {"autoGenerate", "byNamespace"}

# The places where keys stand: a section's top and its part for the namespace.
places contains {"name": name, "keys": keys, "known": schema, "others": at_top} if {
	some name, keys in settings.sections
	schema := known[name]
}

places contains {"name": concat(".", [name, "byNamespace", key]), "keys": keys, "known": schema, "others": set()} if {
	some name, key in settings.held
	schema := known[name]
	keys := settings.sections[name].byNamespace[key]
	keys != null
}

mistakes contains mistake if some mistake in settings.mistakes

mistakes contains "give scanRules or preScanPolicies and scanPolicies, not both" if {
	settings.sections.scanRules
	some successor in ["preScanPolicies", "scanPolicies"]
	settings.sections[successor]
}

mistakes contains sprintf("%s must be an object", [place.name]) if {
	some place in places
	not is_object(place.keys)
}

mistakes contains sprintf("%s.byNamespace must be an object", [name]) if {
	some name, section in settings.sections
	by_namespace := section.byNamespace
	by_namespace != null
	not is_object(by_namespace)
}

# What is left blank is no value: it would let something else hold in its place.
mistakes contains settings.blank(concat(".", [place.name, key])) if {
	some place in places
	some key, found in place.keys
	found == null
}

mistakes contains settings.blank(concat(".", [name, "byNamespace", key])) if {
	some name, key in settings.held
	settings.sections[name].byNamespace[key] == null
}

# A name that no namespace can have would be noticed by nobody: unlike what stands
# below it, it is looked at for every Pod.
mistakes contains settings.invalid(concat(".", [name, "byNamespace"]), key, sprintf("a namespace, or the start of some as in dev-*: %s", [why])) if {
	some name, section in settings.sections
	names := object.keys(section.byNamespace)
	not patterns.plain_namespaces(names)
	some key in names
	why := patterns.of_namespace(key)
}

mistakes contains settings.invalid(concat(".", [name, "autoGenerate"]), found, "true or false") if {
	some name, section in settings.sections
	found := section.autoGenerate
	found != null
	not is_boolean(found)
}

mistakes contains sprintf("unknown key %s.%s", [place.name, key]) if {
	some place in places
	some key in (object.keys(place.keys) - (((object.keys(place.known.values) | object.keys(place.known.policies)) | place.known.prefixes) | place.others))
}

mistakes contains settings.invalid(concat(".", [place.name, key]), found, settings.one_of(allowed)) if {
	some place in places
	some key, allowed in place.known.values
	found := place.keys[key]
	found != null
	not found in allowed
}

mistakes contains sprintf("%s.%s must be a list", [place.name, key]) if {
	some place in places
	some key in (object.keys(place.keys) & (place.known.prefixes | object.keys(place.known.policies)))
	found := place.keys[key]
	found != null
	not is_array(found)
}

# The lists that have mistakes, or may have some: only these are looked at one by one,
# for a list may be long, and a Pod waits.
doubtful_prefixes contains {"name": concat(".", [place.name, key]), "list": list} if {
	some place in places
	some key in place.known.prefixes
	list := place.keys[key]
	not patterns.plain_prefixes(list)
}

doubtful_rules contains {"name": concat(".", [place.name, key]), "list": list, "allowed": allowed} if {
	some place in places
	some key, allowed in place.known.policies
	list := place.keys[key]
	not sound(list, allowed)
}

# Whether a list has nothing but rules that are right.
sound(rules, allowed) if {
	prefixes := [prefix | prefix := rules[_].prefix]
	actions := [action | action := rules[_].action]
	count(prefixes) == count(rules)
	count(actions) == count(rules)
	patterns.plain_prefixes(prefixes)
	count({action | action := actions[_]} - {action | action := allowed[_]}) == 0
	each_may_decide(prefixes, actions)
}

# The strictest stand first, or no prefix begins with another.
each_may_decide(_, actions) if regex.match(`^(?:reject\n)*(?:scan(?:-result)?\n)*(?:accept\n)*$`, concat("\n", array.concat(actions, [""])))

each_may_decide(prefixes, _) if not nested(prefixes)

mistakes contains settings.invalid(doubtful.name, prefix, "an image prefix") if {
	some doubtful in doubtful_prefixes
	some prefix in doubtful.list
	not pod.present(prefix)
}

mistakes contains settings.invalid(sprintf("%s[%d]", [doubtful.name, i]), prefix, settings.prefix_but(why)) if {
	some doubtful in doubtful_prefixes
	some i, prefix in doubtful.list
	pod.present(prefix)
	why := patterns.of_prefix(prefix)
}

mistakes contains settings.invalid(sprintf("%s[%d].prefix", [doubtful.name, i]), rule.prefix, settings.prefix_but(why)) if {
	some doubtful in doubtful_rules
	some i, rule in doubtful.list
	pod.present(rule.prefix)
	why := patterns.of_prefix(rule.prefix)
}

mistakes contains settings.invalid(sprintf("%s[%d].prefix", [doubtful.name, i]), settings.shown(rule, "prefix"), "an image prefix") if {
	some doubtful in doubtful_rules
	some i, rule in doubtful.list
	pod.text(rule, "prefix") == ""
}

mistakes contains settings.invalid(sprintf("%s[%d].action", [doubtful.name, i]), settings.shown(rule, "action"), settings.one_of(doubtful.allowed)) if {
	some doubtful in doubtful_rules
	some i, rule in doubtful.list
	not settings.shown(rule, "action") in doubtful.allowed
}

# A stricter rule behind one that matches all of it never decides.
mistakes contains sprintf("%s[%d] never decides: '%s' before it matches all that begins with '%s', and the first match wins; put it first", [doubtful.name, i, first.prefix, rule.prefix]) if {
	some doubtful in doubtful_rules
	rules := [{"prefix": pod.text(rule, "prefix"), "action": pod.text(rule, "action")} | some rule in doubtful.list]
	nested([rule.prefix | some rule in rules])
	some i, rule in rules
	rule.action in doubtful.allowed
	first := [earlier |
		some j, earlier in rules
		j < i
		earlier.prefix != ""
		startswith(rule.prefix, earlier.prefix)
	][0]
	strictness[rule.action] > strictness[first.action]
}

# Whether one of some prefixes begins with another, or is there twice: the one without
# its last character then still does.
nested(prefixes) if count({prefix | prefix := prefixes[_]}) < count(prefixes)

nested(prefixes) if {
	shorter := split(regex.replace(concat("\n", prefixes), `[^\n](\n|$)`, "$1"), "\n")
	strings.any_prefix_match(shorter, prefixes)
}

strictness := {"accept": 0, "scan": 1, "scan-result": 1, "reject": 2}
