package imagedigestrequired_test

import data.imagedigestrequired
import data.lib.fixtures_test as fixtures
import data.lib.pod
import future.keywords

denials(images, parameters) := found if {
	found := fixtures.msgs(imagedigestrequired.violation) with input as fixtures.under(images, parameters)
}

sha256 := "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

sha512 := concat("", ["sha512:", concat("", [c | some _ in numbers.range(1, 128); c := "b"])])

rejected(image, name) := sprintf("Image '%s' REJECTED. It is not pinned by digest: write it as %s@sha256:..., or have the mutator pin it.", [image, name])

test_pinned if {
	denials([concat("@", [name, digest]) | some name in ["nginx", "nginx:1", "localhost:5000/a/b:c"]; some digest in [sha256, sha512]], {}) == set()
}

test_unpinned if {
	denials(["nginx"], {}) == {rejected("nginx", "nginx")}
	denials(["localhost:5000/a/b:c"], {}) == {rejected("localhost:5000/a/b:c", "localhost:5000/a/b")}
	denials(["localhost:5000/a"], {}) == {rejected("localhost:5000/a", "localhost:5000/a")}
	denials(["a@sha256:short"], {}) == {rejected("a@sha256:short", "a")}
	denials([""], {}) == {rejected("", "")}
	denials([concat("@", ["a", sha256]), "b", "c"], {"help": "Ask."}) == {
		concat(" ", [rejected("b", "b"), "Ask."]),
		concat(" ", [rejected("c", "c"), "Ask."]),
	}
}

test_exempt_images if {
	denials(["nginx", "a/b"], {"exemptImages": ["docker.io/library/"]}) == {rejected("a/b", "a/b")}
	denials(["nginx"], {"exemptImages": [""]}) == {"Configuration error: invalid value for exemptImages - '[\"\"]', must be a list of image prefixes"}
	denials(["nginx"], {"report": "x"}) == {"Configuration error: invalid value for report - 'x', must be one of violations, warnings"}
}

test_break_glass if {
	found := imagedigestrequired.violation with input as fixtures.breaking(["a"], {})
	found == set()
}

test_details if {
	found := imagedigestrequired.violation with input as fixtures.under(["a"], {})
	{violation.details | some violation in found} == {{"image": "a", "containers": ["c0"]}}
}

test_more_images_than_can_be_looked_at if {
	found := denials(["nginx", "nginx", "nginx"], {}) with pod.most_images as 2
	found == {"The Pod has 3 containers and image volumes, and no more than 2 can be judged: split it"}
}
