package lib.reference_test

import data.lib.reference
import future.keywords

normalised := {
	"nginx": "docker.io/library/nginx",
	"nginx:1.17.9": "docker.io/library/nginx:1.17.9",
	"airadier/test:bad": "docker.io/airadier/test:bad",
	"docker.io/nginx": "docker.io/library/nginx",
	"index.docker.io/library/nginx@sha256:abc": "docker.io/library/nginx@sha256:abc",
	"localhost:5000/a/b:c": "localhost:5000/a/b:c",
	"localhost/a": "localhost/a",
	"localhost:5000": "docker.io/library/localhost:5000",
	"EVIL/app:1": "EVIL/app:1",
	"Evil": "docker.io/library/Evil",
	"registry.example.com/a/b@sha256:abc": "registry.example.com/a/b@sha256:abc",
	"team/a:1@sha256:abc": "docker.io/team/a:1@sha256:abc",
}

test_normalised if {
	every written, full in normalised {
		reference.normalised(written) == full
	}
}

test_registry if {
	reference.registry("nginx") == "docker.io"
	reference.registry("index.docker.io/a/b") == "docker.io"
	reference.registry("localhost/a") == "localhost"
	reference.registry("[::1]:5000/a") == "[::1]:5000"
	reference.registry("host:5000/a:1") == "host:5000"
	reference.registry("EVIL/app") == "EVIL"
	reference.registry("evil/app") == "docker.io"
	reference.registry("evil/App") == "docker.io"
}

test_readings if {
	reference.readings("nginx:1") == {"nginx:1", "docker.io/library/nginx:1"}
}

test_other_spellings_of_a_hub_image if {
	reference.other_spellings("nginx:1") == {
		"library/nginx:1",
		"docker.io/nginx:1",
		"index.docker.io/nginx:1",
		"index.docker.io/library/nginx:1",
	}
}

test_other_spellings_of_another_registry if {
	reference.other_spellings("registry.example.com/a") == {"registry.example.com/a:latest"}
	reference.other_spellings("registry.example.com/a:1") == set()
}

test_latest_is_a_spelling if {
	"nginx:latest" in reference.other_spellings("nginx")
	"docker.io/library/nginx:latest" in reference.other_spellings("docker.io/nginx")
	not "nginx:1:latest" in reference.other_spellings("nginx:1")
}

test_valid if {
	every image in ["nginx", "localhost:5000/a/b:c", "[::1]:5000/a", "a/b@sha256:abc", "A/B"] {
		reference.valid(image)
	}
	every image in ["", "a?view=full", "a#", "a b", "a\nb", "/a", "a&b", "ä"] {
		not reference.valid(image)
	}
}
