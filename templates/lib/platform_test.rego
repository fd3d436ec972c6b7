package lib.platform_test

import data.lib.fixtures_test as fixtures
import data.lib.platform
import future.keywords

# What Pods say of their platforms. mutator/pin reads this table too.
cases := [
	{"name": "nothing", "spec": {}, "platform": ""},
	{"name": "both halves", "spec": {"nodeSelector": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}}, "platform": "linux/arm64"},
	{"name": "the system alone", "spec": {"nodeSelector": {"kubernetes.io/os": "windows"}}, "platform": "windows/*"},
	{"name": "the architecture alone", "spec": {"nodeSelector": {"kubernetes.io/arch": "arm64"}}, "platform": "*/arm64"},
	{"name": "an unknown architecture", "spec": {"nodeSelector": {"kubernetes.io/arch": "quantum"}}, "platform": "*/quantum"},
	{"name": "arm", "spec": {"nodeSelector": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm"}}, "platform": "linux/arm"},
	{"name": "labels of old", "spec": {"nodeSelector": {"beta.kubernetes.io/os": "windows", "beta.kubernetes.io/arch": "amd64"}}, "platform": "windows/amd64"},
	{"name": "labels of others", "spec": {"nodeSelector": {"disk": "ssd", "os": "windows"}}, "platform": ""},
	{"name": "a label of Windows", "spec": {"nodeSelector": {"node.kubernetes.io/windows-build": "10.0.20348"}}, "platform": "windows/*"},
	{"name": "a node", "spec": {"nodeName": "win-1"}, "platform": ""},
	{"name": "spec.os", "spec": {"os": {"name": "windows"}}, "platform": "windows/*"},
	{"name": "spec.os and an architecture", "spec": {"os": {"name": "windows"}, "nodeSelector": {"kubernetes.io/arch": "amd64"}}, "platform": "windows/amd64"},
	{"name": "spec.os against the selector", "spec": {"os": {"name": "windows"}, "nodeSelector": {"kubernetes.io/os": "linux"}}, "platform": "linux/*,windows/*"},
	{"name": "empty words", "spec": {"os": {"name": ""}, "nodeSelector": {"kubernetes.io/os": "", "kubernetes.io/arch": "arm64"}}, "platform": "*/arm64"},
	{"name": "nulls", "spec": {"os": null, "nodeSelector": null, "affinity": {"nodeAffinity": null}}, "platform": ""},
	{"name": "In with several", "spec": required([[one_of("kubernetes.io/arch", ["arm64", "amd64"])]]), "platform": "*/amd64,*/arm64"},
	{"name": "In of both halves", "spec": required([[one_of("kubernetes.io/arch", ["arm64", "amd64"]), one_of("kubernetes.io/os", ["linux", "windows"])]]), "platform": "linux/amd64,linux/arm64,windows/amd64,windows/arm64"},
	{"name": "In twice", "spec": required([[one_of("kubernetes.io/arch", ["arm64", "amd64"]), one_of("kubernetes.io/arch", ["amd64", "s390x"])]]), "platform": "*/amd64"},
	{"name": "In by both labels", "spec": required([[one_of("kubernetes.io/arch", ["arm64", "amd64"]), one_of("beta.kubernetes.io/arch", ["arm64"])]]), "platform": "*/arm64"},
	{"name": "In beside a selector", "spec": object.union(required([[one_of("kubernetes.io/arch", ["arm64", "amd64"])]]), {"nodeSelector": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}}), "platform": "linux/arm64"},
	{"name": "In against a selector", "spec": object.union(required([[one_of("kubernetes.io/arch", ["amd64"])]]), {"nodeSelector": {"kubernetes.io/arch": "arm64"}}), "platform": "*/amd64,*/arm64"},
	{"name": "NotIn", "spec": required([[none_of("kubernetes.io/os", ["linux"])]]), "platform": "!linux/*"},
	{"name": "NotIn with several", "spec": required([[none_of("kubernetes.io/arch", ["arm64", "amd64"])]]), "platform": "*/!amd64!arm64"},
	{"name": "NotIn beside In", "spec": required([[one_of("kubernetes.io/arch", ["arm64", "amd64"]), none_of("kubernetes.io/arch", ["amd64"])]]), "platform": "*/arm64"},
	{"name": "NotIn against In", "spec": required([[one_of("kubernetes.io/arch", ["amd64"]), none_of("kubernetes.io/arch", ["amd64"])]]), "platform": "*/amd64"},
	{"name": "Exists", "spec": required([[{"key": "kubernetes.io/os", "operator": "Exists"}]]), "platform": ""},
	{"name": "DoesNotExist", "spec": required([[{"key": "kubernetes.io/os", "operator": "DoesNotExist"}, one_of("kubernetes.io/arch", ["amd64"])]]), "platform": "*/amd64"},
	{"name": "Gt", "spec": required([[{"key": "kubernetes.io/arch", "operator": "Gt", "values": ["1"]}]]), "platform": ""},
	{"name": "Exists of a label of Windows", "spec": required([[{"key": "node.kubernetes.io/windows-build", "operator": "Exists"}]]), "platform": "windows/*"},
	{"name": "NotIn of a label of Windows", "spec": required([[none_of("node.kubernetes.io/windows-build", ["10.0.17763"])]]), "platform": ""},
	{"name": "two terms", "spec": required([[one_of("kubernetes.io/os", ["windows"])], [one_of("kubernetes.io/arch", ["arm64"])]]), "platform": "*/arm64,windows/*"},
	{"name": "a term that leaves all open", "spec": required([[one_of("kubernetes.io/os", ["windows"])], [one_of("zone", ["a"])]]), "platform": "*/*,windows/*"},
	{"name": "two terms under a selector", "spec": object.union(required([[one_of("kubernetes.io/arch", ["amd64"])], [one_of("zone", ["a"])]]), {"nodeSelector": {"kubernetes.io/os": "windows"}}), "platform": "windows/*,windows/amd64"},
	{"name": "an empty term matches no node", "spec": required([[], [one_of("kubernetes.io/os", ["windows"])]]), "platform": "windows/*"},
	{"name": "empty terms alone", "spec": object.union(required([[]]), {"os": {"name": "linux"}}), "platform": "linux/*"},
	{"name": "no terms", "spec": required([]), "platform": ""},
	{
		"name": "the name of a node", "spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
			{"matchFields": [one_of("metadata.name", ["n1"])]},
			{"matchExpressions": [one_of("kubernetes.io/os", ["windows"])]},
		]}}}},
		"platform": "*/*,windows/*",
	},
	{"name": "what is only preferred", "spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [one_of("kubernetes.io/os", ["windows"])]}}]}}}, "platform": ""},
	{"name": "values that are no labels", "spec": required([[one_of("kubernetes.io/arch", ["amd64,linux/arm64", "arm64"]), none_of("kubernetes.io/os", ["x!windows", "a/b"])]]), "platform": "*/arm64"},
	{"name": "only values that are no labels", "spec": required([[one_of("kubernetes.io/arch", ["a!b"]), none_of("kubernetes.io/os", ["x!windows"])]]), "platform": ""},
]

# Pods that say more than anybody can be asked. mutator/pin reads this list too.
wide := [
	required([[one_of("kubernetes.io/os", names("os", 2000)), one_of("kubernetes.io/arch", names("arch", 2000))]]),
	required([[one_of("kubernetes.io/os", names("os", 3)), one_of("kubernetes.io/arch", names("arch", 11))]]),
	required([[one_of("kubernetes.io/arch", names("arch", 33))]]),
	required([[one_of("kubernetes.io/arch", [name])] | some name in names("arch", 33)]),
	required([[one_of("kubernetes.io/arch", [name]) | some name in names("arch", 33)]]),
	required([[none_of("kubernetes.io/arch", names("arch", 256))]]),
	required([[one_of("kubernetes.io/arch", ["amd64"])] | some _ in numbers.range(1, 129)]),
	required([[one_of("zone", ["a"])] | some _ in numbers.range(1, 257)]),
	object.union(required([[exists("kubernetes.io/os"), exists("kubernetes.io/arch")] | some _ in numbers.range(1, 129)]), {"os": {"name": "windows"}}),
]

# Pods that say much, which is read all the same.
broad := [
	{"spec": required([[one_of("kubernetes.io/arch", names("arch", 32))]]), "patterns": 32},
	{"spec": required([[one_of("kubernetes.io/arch", ["amd64"])] | some _ in numbers.range(1, 128)]), "patterns": 1},
	{"spec": required([[one_of("zone", names("zone", 10))] | some _ in numbers.range(1, 256)]), "patterns": 0},
	{"spec": object.union(required([[none_of("kubernetes.io/arch", names("arch", 200))]]), {"nodeSelector": {name: "x" | some name in names("label", 1000)}}), "patterns": 1},
]

names(word, many) := [sprintf("%s%d", [word, i]) | some i in numbers.range(1, many)]

exists(key) := {"key": key, "operator": "Exists"}

one_of(key, values) := {"key": key, "operator": "In", "values": values}

none_of(key, values) := {"key": key, "operator": "NotIn", "values": values}

required(terms) := {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": term} | some term in terms]}}}}

test_what_pods_say if {
	wrong := {case.name: found |
		some case in cases
		found := platform.known with input as {"review": fixtures.review(fixtures.pod_with(case.spec))}
		found != case.platform
	}
	wrong == {}
}

test_what_is_malformed_says_nothing if {
	every spec in [
		{"nodeSelector": ["kubernetes.io/os"], "os": "windows"},
		{"nodeSelector": {"kubernetes.io/os": true}, "affinity": 1},
		{"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [1, {"matchExpressions": "x"}, {"matchExpressions": [1, {"key": "kubernetes.io/os", "operator": "In"}]}]}}}},
	] {
		found := platform.known with input as {"review": fixtures.review(fixtures.pod_with(spec))}
		found == ""
	}
}

test_more_than_can_be_asked_is_not_read if {
	every spec in wide {
		found := platform.known with input as {"review": fixtures.review(fixtures.pod_with(spec))}
		found == platform.too_many
	}
}

test_much_is_read if {
	every case in broad {
		found := platform.known with input as {"review": fixtures.review(fixtures.pod_with(case.spec))}
		count([pattern | some pattern in split(found, ","); pattern != ""]) == case.patterns
	}
}
