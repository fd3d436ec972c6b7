package imageregistryallowed_test

import data.imageregistryallowed
import data.lib.fixtures_test as fixtures
import data.lib.pod
import future.keywords

denied(images, registries) := found if {
	found := {violation.details.image | some violation in imageregistryallowed.violation} with input as fixtures.under(images, {"registries": registries})
}

errors(parameters) := found if {
	found := fixtures.msgs(imageregistryallowed.violation) with input as fixtures.under(["nginx"], parameters)
}

test_whole_hosts_are_compared if {
	denied(["registry.example.com/a", "registry.example.com/a/b:1@sha256:x"], ["registry.example.com"]) == set()
	evil := ["registry.example.com.evil.net/a", "registry.example.com:5000/a", "registry.example.co/a", "nginx", "registry.example.com"]
	denied(evil, ["registry.example.com"]) == {image | some image in evil}
}

test_whole_segments_are_compared if {
	denied(["host.io/team/a", "host.io/team"], ["host.io/team"]) == set()
	denied(["host.io/team2/a", "host.io/a/team", "host.io/tea"], ["host.io/team"]) == {"host.io/team2/a", "host.io/a/team", "host.io/tea"}
	denied(["host.io/team/a", "host.io/team2/a"], ["host.io/team/"]) == {"host.io/team2/a"}
}

test_docker_hub_has_one_name if {
	every registry in ["docker.io", "index.docker.io", "docker.io/library", "index.docker.io/library/"] {
		denied(["nginx", "docker.io/nginx:1", "index.docker.io/library/nginx"], [registry]) == set()
	}
	denied(["airadier/test", "index.docker.iox/a/b"], ["docker.io/library"]) == {"airadier/test", "index.docker.iox/a/b"}
}

test_a_host_in_upper_case_is_not_docker_hub if {
	denied(["EVIL/app", "Evil/a/b:1"], ["docker.io"]) == {"EVIL/app", "Evil/a/b:1"}
	denied(["EVIL/app"], ["EVIL"]) == set()
}

test_ports if {
	denied(["localhost:5000/a", "[::1]:5000/a"], ["localhost:5000", "[::1]:5000"]) == set()
	denied(["localhost/a", "localhost:5000/a"], ["localhost"]) == {"localhost:5000/a"}
}

test_what_is_no_reference_is_denied if denied(["host.io/a?x", ""], ["host.io", "docker.io"]) == {"host.io/a?x", ""}

test_a_line_break_does_not_hide_an_image if {
	denied(["evil.io/a\nb", "host.io/a\n", "\n"], ["host.io", "docker.io"]) == {"evil.io/a\nb", "host.io/a\n", "\n"}
}

test_nothing_listed_allows_nothing if denied(["nginx"], []) == {"nginx"}

test_message if {
	found := fixtures.msgs(imageregistryallowed.violation) with input as fixtures.under(["nginx"], {"registries": ["a.io", "b.io/c"], "help": "Ask."})
	found == {"Image 'nginx' REJECTED. Registry 'docker.io' is not allowed: the policy allows a.io, b.io/c. Ask."}
	nothing := fixtures.msgs(imageregistryallowed.violation) with input as fixtures.under(["nginx"], {"registries": []})
	nothing == {"Image 'nginx' REJECTED. Registry 'docker.io' is not allowed: the policy allows none."}
}

test_mistakes if {
	errors({}) == {"Configuration error: registries is missing: list the registries to allow"}
	errors({"registries": "docker.io"}) == {"Configuration error: invalid value for registries - 'docker.io', must be a list"}
	every registry in ["", "https://docker.io", "team", "docker.io/*", "docker.io//", 7] {
		errors({"registries": ["docker.io", registry]}) == {sprintf("Configuration error: invalid value for registries - '%v', must be a registry, optionally with a path: registry.example.com/team", [registry])}
	}
	errors({"registries": ["docker.io"], "report": "x"}) == {"Configuration error: invalid value for report - 'x', must be one of violations, warnings"}
}

test_break_glass if {
	found := imageregistryallowed.violation with input as fixtures.breaking(["nginx"], {"registries": []})
	found == set()
}

test_details if {
	found := imageregistryallowed.violation with input as fixtures.under(["nginx"], {"registries": []})
	{violation.details | some violation in found} == {{"image": "nginx", "containers": ["c0"]}}
}

test_more_images_than_can_be_looked_at if {
	found := fixtures.msgs(imageregistryallowed.violation) with input as fixtures.under(["evil.io/a", "evil.io/a", "evil.io/a"], {"registries": ["docker.io"]}) with pod.most_images as 2
	found == {"The Pod has 3 containers and image volumes, and no more than 2 can be judged: split it"}
}
