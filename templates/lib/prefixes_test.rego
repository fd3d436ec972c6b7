package lib.prefixes_test

import data.lib.fixtures_test as fixtures
import data.lib.prefixes
import future.keywords

nothing := {"review": {"object": {}}, "parameters": {}}

policy(pairs) := {
	"rules": [{"prefix": pair[0], "action": pair[1], "scope": "Global"} | some pair in pairs],
	"prefixes": [pair[0] | some pair in pairs],
	"default": {"action": "scan-result", "scope": "Global"},
}

decide(image, pairs) := [decision.action, decision.scope] if {
	decision := prefixes.decide(image, policy(pairs)) with input as nothing
}

test_default if decide("a/b", [["c/", "reject"]]) == ["scan-result", "Global default policy"]

test_first_match_wins if {
	decide("a/b", [["a/", "accept"], ["a/b", "reject"]]) == ["accept", "Global custom policy (prefix 'a/')"]
	decide("a/b", [["a/b", "reject"], ["a/", "accept"]]) == ["reject", "Global custom policy (prefix 'a/b')"]
}

test_a_rule_for_either_reading_matches if {
	decide("nginx", [["nginx", "accept"]]) == ["accept", "Global custom policy (prefix 'nginx')"]
	decide("nginx", [["docker.io/", "accept"]]) == ["accept", "Global custom policy (prefix 'docker.io/')"]
	decide("index.docker.io/a/b", [["docker.io/a/", "accept"]]) == ["accept", "Global custom policy (prefix 'docker.io/a/')"]
}

test_the_more_restrictive_reading_wins if {
	decide("nginx", [["docker.io/", "accept"], ["nginx", "reject"]])[0] == "reject"
	decide("nginx", [["nginx", "accept"], ["docker.io/", "reject"]])[0] == "reject"
	decide("nginx", [["nginx", "accept"], ["docker.io/", "scan-result"]])[0] == "scan-result"
	decide("nginx", [["nginx", "scan-result"], ["docker.io/", "reject"]])[0] == "reject"
}

test_of_equal_readings_the_first_rule_is_named if {
	decide("nginx", [["docker.io/", "reject"], ["nginx", "reject"]])[1] == "Global custom policy (prefix 'docker.io/')"
	decide("nginx", [["nginx", "reject"], ["docker.io/", "reject"]])[1] == "Global custom policy (prefix 'nginx')"
}

test_other_spellings_only_tighten if {
	decide("docker.io/nginx", [["nginx", "reject"]]) == ["reject", "Global custom policy (prefix 'nginx')"]
	decide("nginx", [["nginx:latest", "reject"]])[0] == "reject"
	decide("docker.io/nginx", [["nginx", "accept"]]) == ["scan-result", "Global default policy"]
	decide("docker.io/nginx", [["docker.io/", "accept"], ["nginx", "scan-result"]])[0] == "scan-result"
	decide("nginx", [["nginx:latest", "accept"]])[0] == "scan-result"
}

test_a_pinned_image_is_still_held_to_rules_for_its_tag if {
	pinned := {"review": fixtures.review(object.union(
		fixtures.pod(["nginx@sha256:abc"]),
		{"metadata": {"annotations": {"original-image.imagegate.dev/c0": "nginx:1.17"}}},
	))}
	decision := prefixes.decide("nginx@sha256:abc", policy([["docker.io/library/nginx:1.17", "reject"]])) with input as pinned
	decision.action == "reject"
	tagless := prefixes.decide("nginx@sha256:abc", policy([["nginx:1.17", "accept"]])) with input as pinned
	tagless.action == "scan-result"
}

test_a_pinned_volume_is_still_held_to_rules_for_its_tag if {
	pinned := {"review": fixtures.review(object.union(
		fixtures.pod_with({"volumes": [{"name": "models", "image": {"reference": "models/m@sha256:abc"}}]}),
		{"metadata": {"annotations": {"volume.original-image.imagegate.dev/models": "models/m:2"}}},
	))}
	decision := prefixes.decide("models/m@sha256:abc", policy([["models/m:2", "reject"]])) with input as pinned
	decision.action == "reject"
}
