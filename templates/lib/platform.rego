# The platforms a Pod may run on, as far as it says. The mutator reads a Pod by
# the same rules (mutator/pin/platform.go), and one table tests both.
package lib.platform

import data.lib.pod
import future.keywords

# What the Pod under review says.
known := said if {
	said := of(pod.reviewed.spec)
} else := ""

# What a Pod says, as the provider reads it: linux/amd64,windows/* for instance.
# "" when it says nothing.
of(spec) := too_many if {
	count(alternatives(spec)) > most_words
} else := too_many if {
	words(spec) > most_words
} else := "" if {
	patterns(spec) == {"*/*"}
} else := concat(",", sort(patterns(spec))) if {
	count(patterns(spec)) <= most_patterns
} else := too_many

# How many patterns the provider takes, and how many terms of node affinity, and
# words in them about platforms, are looked at to find them: what two lists of a
# thousand allow together would take longer than a webhook has.
most_patterns := 32

most_words := 256

# Nothing that the provider could be asked.
too_many := "?"

patterns(spec) := {pattern |
	some term in terms(spec)
	requirements := array.concat(always(spec), term)
	some os in half("os", requirements)
	some arch in half("arch", requirements)
	pattern := concat("/", [os, arch])
}

words(spec) := sum([words |
	some term in given(spec)
	some requirement in term
	words := 1 + count(pod.listed(requirement, "values"))
])

# What the kubelet says of its node, by the names of today and of old.
labels := {
	"os": {"kubernetes.io/os", "beta.kubernetes.io/os"},
	"arch": {"kubernetes.io/arch", "beta.kubernetes.io/arch"},
}

windows_build := "node.kubernetes.io/windows-build"

telling := (labels.os | labels.arch) | {windows_build}

# What holds for every node: node selector and spec.os bind the scheduler and
# the kubelet.
always(spec) := array.concat(
	[{"key": key, "operator": "In", "values": [spec.nodeSelector[key]]} | some key in telling],
	[{"key": "kubernetes.io/os", "operator": "In", "values": [name]} | name := spec.os.name],
)

# The alternatives of the required node affinity, each once.
terms(spec) := {term | some term in given(spec)} if {
	count(given(spec)) > 0
} else := {[]}

alternatives(spec) := pod.listed(spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution, "nodeSelectorTerms")

# What each says of the platform. A term without any condition matches no node.
given(spec) := [[requirement | some requirement in expressions; requirement.key in telling] |
	some term in alternatives(spec)
	expressions := pod.listed(term, "matchExpressions")
	count(expressions) + count(pod.listed(term, "matchFields")) > 0
]

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
	requirement.key == windows_build
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
