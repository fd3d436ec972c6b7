# The platforms a Pod may run on, as far as it says. The mutator reads a Pod by
# the same rules (mutator/pin/platform.go), and one table tests both.
package lib.platform

import data.lib.pod
import future.keywords

# What the Pod says, as the provider reads it: linux/amd64,windows/* for
# instance. "" when it says nothing.
known := "" if {
	patterns == {"*/*"}
} else := concat(",", sort(patterns))

patterns := {pattern |
	some term in terms
	requirements := array.concat(always, term)
	some os in half("os", requirements)
	some arch in half("arch", requirements)
	pattern := concat("/", [os, arch])
}

# What the kubelet says of its node, by the names of today and of old.
labels := {
	"os": {"kubernetes.io/os", "beta.kubernetes.io/os"},
	"arch": {"kubernetes.io/arch", "beta.kubernetes.io/arch"},
}

# What holds for every node: node selector and spec.os bind the scheduler and
# the kubelet.
always := array.concat(
	[{"key": key, "operator": "In", "values": [value]} | some key, value in pod.reviewed.spec.nodeSelector],
	[{"key": "kubernetes.io/os", "operator": "In", "values": [name]} | name := pod.reviewed.spec.os.name],
)

# The alternatives of the required node affinity.
terms := given if {
	count(given) > 0
} else := [[]]

# A term without any condition matches no node.
given := [listed(term, "matchExpressions") |
	some term in pod.reviewed.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms
	count(listed(term, "matchExpressions")) + count(listed(term, "matchFields")) > 0
]

listed(term, field) := term[field] if {
	is_array(term[field])
} else := []

# What the requirements leave of one half of a platform: names, or one pattern
# for all that is not excluded. When they contradict each other no node fulfils
# them, or somebody ignores one of them: then each counts.
half(name, requirements) := open(excluded(name, requirements)) if {
	count(named(name, requirements)) == 0
} else := both if {
	both := intersection(named(name, requirements)) - excluded(name, requirements)
	count(both) > 0
} else := union(named(name, requirements))

open(out) := {"*"} if {
	count(out) == 0
} else := {concat("", [concat("", ["!", value]) | some value in sort(out)])}

named(name, requirements) := {values |
	some requirement in requirements
	values := names(name, requirement)
	count(values) > 0
}

names(name, requirement) := values(requirement) if {
	requirement.operator == "In"
	requirement.key in labels[name]
}

# A label that only nodes with Windows have.
names("os", requirement) := {"windows"} if {
	requirement.operator in {"In", "Exists"}
	requirement.key == "node.kubernetes.io/windows-build"
}

excluded(name, requirements) := {value |
	some requirement in requirements
	requirement.operator == "NotIn"
	requirement.key in labels[name]
	some value in values(requirement)
}

# What a node's label can be. Any other value names no node, and must not be
# read as a part of the key's syntax.
values(requirement) := {value |
	some value in requirement.values
	is_string(value)
	regex.match(`^[A-Za-z0-9_.-]+$`, value)
}
