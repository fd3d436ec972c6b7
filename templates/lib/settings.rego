# Parameters that several policies share, and what is wrong with them.
package lib.settings

import data.lib.patterns
import data.lib.pod
import future.keywords

# Every mistake of a policy as a denial: a policy that cannot be read denies
# every Pod that has an image to judge.
denials(mistakes) := {{"msg": sprintf("Configuration error: %s", [mistake]), "details": {"phase": "configuration"}} |
	count(pod.judged) > 0
	some mistake in mistakes
}

# A value by its path: undefined where it is missing or null.
value(from, path) := found if {
	found := object.get(from, path, null)
	found != null
}

parameter(key) := value(input.parameters, [key])

invalid(key, found, expected) := sprintf("invalid value for %s - '%v', must be %s", [key, found, expected])

one_of(allowed) := sprintf("one of %s", [concat(", ", allowed)])

# An element's field as messages show it, whatever the element is.
shown(element, key) := element[key] if {
	is_object(element)
	element[key]
} else := "<empty>"

blank(key) := sprintf("%s is blank: leave it out or give it a value", [key])

# What the parameters say of break-glass, without what is blank.
break_glass := {key: found |
	some key, found in input.parameters.breakGlass
	found != null
}

# What is wrong with the shared parameters.
mistakes contains blank(key) if {
	some key, found in input.parameters
	found == null
}

mistakes contains blank(concat(".", ["breakGlass", key])) if {
	some key, found in input.parameters.breakGlass
	found == null
}

mistakes contains invalid(key, found, one_of(allowed)) if {
	some key, allowed in {
		"view": ["summary", "findings", "full"],
		"keyContext": ["pod", "none"],
		"report": ["violations", "warnings"],
	}
	found := input.parameters[key]
	found != null
	not found in allowed
}

mistakes contains invalid("provider", found, "the name of a Provider") if {
	found := input.parameters.provider
	found != null
	not pod.present(found)
}

mistakes contains "breakGlass must be an object" if {
	found := input.parameters.breakGlass
	found != null
	not is_object(found)
}

mistakes contains invalid(concat(".", ["breakGlass", key]), found, "a list of names") if {
	some key in ["users", "groups"]
	found := break_glass[key]
	not all_present(found)
}

# Groups that everybody is in, controllers included, open the glass to everybody.
mistakes contains invalid("breakGlass.groups", group, "a group that not everybody is in") if {
	some group in break_glass.groups
	group in {"system:authenticated", "system:unauthenticated", "system:serviceaccounts"}
}

# Nobody is called so, and an annotation's name is what the API server takes for one.
mistakes contains invalid(sprintf("breakGlass.%s", [key]), name, "a name: no pattern is known here, and none has a *") if {
	some key in ["users", "groups"]
	some name in break_glass[key]
	is_string(name)
	contains(name, "*")
}

mistakes contains invalid("breakGlass.annotation", found, "the name of an annotation, such as break-glass.imagegate.dev/reason") if {
	found := break_glass.annotation
	not named_as_annotations_are(found)
}

named_as_annotations_are(name) if {
	regex.match(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`, name)
}

all_present(list) if {
	is_array(list)
	every element in list {
		pod.present(element)
	}
}

# A time span such as 90m, 36h or 7d, in nanoseconds.
span_ns(text) := to_number(number) * units[unit] if {
	[_, number, unit] := regex.find_all_string_submatch_n(`^([0-9]{1,5})([mhd])$`, text, 1)[0]
}

units := {"m": 60000000000, "h": 3600000000000, "d": 86400000000000}

# A list of prefixes or an empty one.
list(key) := found if {
	found := parameter(key)
	is_array(found)
} else := []

mistakes_of_prefixes(key) := {invalid(key, found, "a list of image prefixes") |
	found := parameter(key)
	not all_present(found)
} | {invalid(sprintf("%s[%d]", [key, i]), prefix, prefix_but(why)) |
	some i, prefix in list(key)
	pod.present(prefix)
	why := patterns.of_prefix(prefix)
}

prefix_but(why) := sprintf("an image prefix: %s", [why])

# The sections of rules that the parameters have.
sections[name] := found if {
	some name in ["scanRules", "preScanPolicies", "scanPolicies"]
	found := input.parameters[name]
	found != null
}

# The section that judges the reports: the article's ("Performing Image Scanning on
# Admission Controller with OPA", https://sysdig.com/blog/image-scanning-admission-controller/)
# or its successor's.
judging := "scanRules" if {
	sections.scanRules
} else := "scanPolicies"

# Of each section the key of byNamespace that holds for the Pod.
held[name] := patterns.closest(section.byNamespace, pod.namespace) if {
	some name, section in sections
	is_object(section.byNamespace)
}
