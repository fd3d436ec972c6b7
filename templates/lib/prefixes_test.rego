package lib.prefixes_test

import data.lib.prefixes
import data.lib.reference
import future.keywords

policy(pairs) := under(pairs, "scan-result")

under(pairs, action) := prefixes.policy(
	[{"prefixes": [pair[0] | some pair in pairs], "actions": [pair[1] | some pair in pairs], "scope": "Global"}],
	{"action": action, "scope": "Global"},
)

decide(image, pairs) := [decision.action, decision.scope] if {
	decision := prefixes.decide([image, ""], policy(pairs))
}

# The same for a pinned image with what was written for it, which the provider
# vouches for or not.
claimed(image, written, pairs) := decision.action if {
	decision := prefixes.decide([image, written], policy(pairs))
}

vouched(image, written, pairs) := decision.action if {
	decision := prefixes.decide_vouched([image, written], policy(pairs))
}

# What is decided in one look is what all spellings come to.
test_the_usual_spelling_is_decided_as_any_other if {
	every image in ["r.io/team/app:1", "r.io/app@sha256:abc", "r-1.x.io/App:Tag", "r.io/:1", "quay.io/nginx:latest"] {
		reference.usual(image)
		every written in ["", "r.io/team/app:1", "r.io/team/other:1", "other.io/a:1", "nginx", "r.io/a"] {
			every pairs in lists_of_rules {
				quick := [f | f := prefixes.decide([image, written], policy(pairs))]
				looked := [f | f := prefixes.decide_vouched([image, written], policy(pairs))]
				quick == [f | f := prefixes.decide([image, written], policy(pairs)) with reference.usual as never]
				looked == [f | f := prefixes.decide_vouched([image, written], policy(pairs)) with reference.usual as never]
			}
		}
	}
}

never(_) if false

lists_of_rules := [
	[],
	[["r.io/", "reject"]],
	[["R.io/", "reject"], ["r.io/", "accept"]],
	[["r.io:443/", "reject"]],
	[["r.io/team/app", "accept"], ["r.io/", "reject"]],
	[["r.io/team/app:1", "reject"]],
	[["r.io/app@sha256:", "accept"], ["r.io/", "reject"]],
	[["nginx", "reject"]],
	[["docker.io/", "reject"], ["quay.io/nginx", "accept"]],
	[["r-1.x.io/app", "reject"]],
]

test_what_is_not_usual if {
	every image in [
		"", "nginx", "nginx:1", "a/b:1", "docker.io/a:1", "index.docker.io/a:1", "registry-1.docker.io/a:1", "registry.hub.docker.com/a:1",
		"R.io/a:1", "r.io:443/a:1", "localhost/a:1", "r.io/a", "r.io/a:1@sha256:abc", "r.io/a@", "r.io/a:", "r.io/a@b@c", "r.io/a:1:2", "r.io:1",
	] {
		not reference.usual(image)
	}
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
	claimed("nginx@sha256:abc", "nginx:1.17", [["docker.io/library/nginx:1.17", "reject"]]) == "reject"
	claimed("nginx@sha256:abc", "nginx:1.17", [["nginx:1.17", "accept"]]) == "scan-result"
	claimed("nginx@sha256:abc", "nginx", [["nginx:latest", "reject"]]) == "reject"
}

test_what_is_vouched_for_is_judged_as_written if {
	vouched("nginx@sha256:abc", "nginx:1.17", [["nginx:1.17", "accept"]]) == "accept"
	vouched("nginx@sha256:abc", "nginx:1.17", [["docker.io/library/nginx:1.17", "accept"]]) == "accept"
	vouched("nginx@sha256:abc", "nginx:1.17", [["nginx:1.17", "reject"]]) == "reject"
	vouched("nginx@sha256:abc", "nginx:1.17", [["nginx:1.18", "accept"]]) == "scan-result"
	vouched("nginx@sha256:abc", "nginx:1.17", [["nginx:1.17", "accept"], ["nginx", "reject"]]) == "accept"
	vouched("nginx@sha256:abc", "nginx:1.17", [["nginx", "reject"], ["nginx:1.17", "accept"]]) == "reject"
	vouched("nginx:1.17@sha256:abc", "nginx:1.17", [["nginx:1.17", "accept"]]) == "accept"
	vouched("nginx@sha256:abc", "nginx", [["nginx:latest", "reject"]]) == "reject"
	vouched("r.io/a@sha256:abc", "r.io/a:1", [["r.io/a:1", "accept"], ["r.io/", "reject"]]) == "accept"
}

test_the_readings_of_what_is_vouched_for_tighten_as_ever if {
	vouched("docker.io/nginx@sha256:abc", "docker.io/nginx:1", [["nginx:1", "reject"]]) == "reject"
	vouched("docker.io/nginx@sha256:abc", "docker.io/nginx:1", [["nginx:1", "accept"]]) == "scan-result"
	vouched("Bad.io/a@sha256:abc", "Bad.io/a:1", [["bad.io/", "reject"]]) == "reject"
	vouched("nginx@sha256:abc", "nginx:1", [["nginx", "accept"], ["docker.io/", "scan-result"]]) == "scan-result"
}

test_rules_for_the_digest_hold_for_what_is_vouched_for if {
	vouched("r.io/a@sha256:abc", "r.io/a:1", [["r.io/a@sha256:abc", "accept"]]) == "accept"
	vouched("r.io/a@sha256:abc", "r.io/a:1", [["r.io/a@sha256:abc", "accept"], ["r.io/", "reject"]]) == "accept"
	vouched("r.io/a@sha256:abc", "r.io/a:1", [["r.io/", "accept"], ["r.io/a@sha256:abc", "reject"]]) == "accept"
	vouched("r.io/a@sha256:abc", "r.io/a:1", [["r.io/a@sha256:abc", "reject"], ["r.io/", "accept"]]) == "reject"
	vouched("r.io/a:1@sha256:abc", "r.io/a:1", [["r.io/a@sha256:abc", "reject"]]) == "reject"
	vouched("R.io:443/a@sha256:abc", "R.io:443/a:1", [["r.io/a@sha256:abc", "reject"], ["R.io", "accept"]]) == "reject"
	vouched("docker.io/a@sha256:abc", "docker.io/a:1", [["a@sha256:abc", "reject"], ["docker.io/", "accept"]]) == "reject"
	vouched("r.io/a@sha256:abc", "r.io/a:1", [["r.io/a@sha256:other", "accept"]]) == "scan-result"
}

test_a_rule_against_a_registry_is_not_escaped_by_its_spelling if {
	every image in [
		"bad-registry.com/x:1",
		"Bad-Registry.com/x:1",
		"bad-registry.com:443/x:1",
		"bad-registry.com:0443/x:1",
		"bad-registry.com:80/x:1",
		"BAD-registry.com:0080/x@sha256:abc",
	] {
		every prefix in ["bad-registry.com/", "BAD-Registry.com/", "bad-registry.com:0443/", "bad-registry.com:443", "Bad-Registry.com", "bad-registry.com:80/x"] {
			decide(image, [[prefix, "reject"]]) == ["reject", sprintf("Global custom policy (prefix '%s')", [prefix])]
		}
	}
	decide("bad-registry.com:5000/x", [["Bad-Registry.com:5000/", "reject"]])[0] == "reject"
	decide("bad-registry.com:05000/x", [["bad-registry.com:5000/", "reject"]])[0] == "reject"
	decide("bad-registry.com:5000/x", [["bad-registry.com/", "reject"], ["bad-registry.com:443", "reject"]])[0] == "scan-result"
}

test_the_spelling_of_a_registry_does_not_loosen if {
	every image in ["Good.io/x", "good.io:443/x", "registry-1.docker.io/library/nginx"] {
		decide(image, [["good.io/", "accept"], ["docker.io/", "accept"]]) == ["scan-result", "Global default policy"]
	}
	decide("good.io/x", [["Good.io/", "accept"], ["good.io:443/", "accept"]])[0] == "scan-result"
	decide("good.io/x", [["good.io/", "reject"], ["Good.io/", "accept"]])[0] == "reject"
}

test_a_folded_rule_hides_no_stricter_one if {
	decide("BAD.io/x", [["Bad.io/", "accept"], ["bad.io/", "reject"]])[0] == "reject"
	decide("bad.io/x:1", [["Bad.io/x:1", "reject"], ["bad.io/", "accept"]])[0] == "reject"
}

test_docker_hub_by_all_its_names if {
	every host in ["", "docker.io/", "DOCKER.io/", "docker.io:443/", "index.docker.io:443/", "registry-1.docker.io/", "registry.hub.docker.com/"] {
		decide(concat("", [host, "evil/app:1"]), [["docker.io/evil/", "reject"]])[0] == "reject"
		decide(concat("", [host, "evil/app:1"]), [["evil/", "reject"]])[0] == "reject"
		decide(concat("", [host, "evil/app:1"]), [["registry-1.docker.io/evil/", "reject"]])[0] == "reject"
		decide(concat("", [host, "evil/app:1"]), [["registry.hub.docker.com/evil/", "reject"]])[0] == "reject"
	}
}

# What the provider vouches for may name the registry otherwise.
test_a_claim_by_another_name_of_the_registry_escapes_no_rule if {
	every host in ["registry-1.docker.io/", "registry.hub.docker.com/", "index.docker.io:443/"] {
		image := concat("", [host, "library/nginx@sha256:abc"])
		vouched(image, "nginx:1", [[host, "reject"], ["nginx:", "accept"]]) == "reject"
	}
	vouched("good.io:443/x@sha256:abc", "good.io/x:1", [["good.io:443/", "reject"], ["good.io/", "accept"]]) == "reject"
}

test_a_host_is_no_path_of_docker_hub if {
	decide("registry/x", [["registry:443/", "reject"]])[0] == "scan-result"
	decide("registry:80/x", [["registry:443/", "reject"]])[0] == "reject"
	decide("registry:443/x", [["registry/", "reject"]])[0] == "scan-result"
}

test_a_tag_beside_a_digest_is_not_accepted if {
	decide("app:2.1", [["app:2.1", "accept"]])[0] == "accept"
	decide("app:2.1@sha256:abc", [["app:2.1", "accept"]]) == ["scan-result", "Global default policy"]
	decide("app:2.1@sha256:abc", [["app:2.1", "accept"], ["app", "reject"]]) == ["reject", "Global custom policy (prefix 'app')"]
	decide("app:2.1@sha256:abc", [["app:2.1", "accept"], ["docker.io/library/app@", "accept"]])[0] == "accept"
	decide("app:2.1@sha256:abc", [["app", "accept"]])[0] == "accept"
	forged := prefixes.decide(["app:2.1@sha256:abc", "app:2.1"], under([["app:2.1", "scan-result"]], "reject"))
	forged.action == "reject"
}

test_a_tag_beside_a_digest_is_still_rejected if {
	decide("app:2.1@sha256:abc", [["app:2.1", "reject"], ["app", "accept"]])[0] == "reject"
	open := prefixes.decide(["app:2.1@sha256:abc", "app:2.1"], under([["app:2.1", "reject"]], "accept"))
	open == {"action": "reject", "scope": "Global custom policy (prefix 'app:2.1')"}
}

test_a_digest_is_not_hidden_by_a_tag if {
	every image in ["repo@sha256:bad", "repo:x@sha256:bad", "docker.io/library/repo:x@sha256:bad", "index.docker.io:443/library/repo:x@sha256:bad"] {
		decide(image, [["repo@sha256:bad", "reject"]])[0] == "reject"
		decide(image, [["docker.io/repo@sha256:bad", "reject"]])[0] == "reject"
	}
	decide("host.io:0443/repo:x@sha256:bad", [["Host.io/repo@sha256:bad", "reject"]])[0] == "reject"
	decide("repo:x@sha256:other", [["repo@sha256:bad", "reject"]])[0] == "scan-result"
}
