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
		"registry-1.docker.io/nginx:1",
		"registry-1.docker.io/library/nginx:1",
		"registry.hub.docker.com/nginx:1",
		"registry.hub.docker.com/library/nginx:1",
	}
}

test_other_spellings_of_another_registry if {
	reference.other_spellings("registry.example.com/a") == {"registry.example.com/a:latest"}
	reference.other_spellings("registry.example.com/a:1") == set()
	reference.other_spellings("Registry.example.com:443/a:1") == {"registry.example.com/a:1"}
	reference.other_spellings("Registry.example.com:05000/a") == {
		"registry.example.com:5000/a",
		"registry.example.com:5000/a:latest",
		"Registry.example.com:05000/a:latest",
	}
}

test_other_spellings_without_the_tag_beside_a_digest if {
	reference.other_spellings("host.io/a:1@sha256:abc") == {"host.io/a@sha256:abc"}
	reference.other_spellings("host.io/a@sha256:abc") == set()
	"docker.io/library/nginx@sha256:abc" in reference.other_spellings("nginx:1@sha256:abc")
	"library/nginx:1@sha256:abc" in reference.other_spellings("nginx:1@sha256:abc")
	not "nginx" in reference.other_spellings("nginx:1@sha256:abc")
}

test_canonical if {
	every image in ["nginx", "docker.io/nginx:1", "Registry-1.docker.io:443/library/nginx@sha256:abc", "library/nginx"] {
		reference.canonical(image) == "docker.io/library/nginx"
	}
	reference.canonical("GHCR.io:0443/acme/web:1") == "ghcr.io/acme/web"
	reference.canonical("localhost:5000/a/b:c") == "localhost:5000/a/b"
}

test_sound if {
	reference.sound("a:1@sha256:abc") == {"a:1@sha256:abc", "a@sha256:abc"}
	reference.sound("host:5000/a:5000@sha256:abc") == {"host:5000/a:5000@sha256:abc", "host:5000/a@sha256:abc"}
	every image in ["a", "a:1", "a@sha256:abc", "host:5000/a@sha256:abc"] {
		reference.sound(image) == {image}
	}
}

folded := {
	"nginx:1": "nginx:1",
	"registry.example.com/a:1": "registry.example.com/a:1",
	"Registry.Example.com/a:V1": "registry.example.com/a:V1",
	"a.io:443/b": "a.io/b",
	"a.io:0443/b": "a.io/b",
	"a.io:80/b": "a.io/b",
	"a.io:4430/b": "a.io:4430/b",
	"a.io:0/b": "a.io:0/b",
	"a.io:05000/b": "a.io:5000/b",
	"localhost:80/b": "localhost/b",
	"[::1]:443/b": "[::1]/b",
	"[::443]/b": "[::443]/b",
	"registry:80/b": "registry:443/b",
	"EVIL/b": "evil:443/b",
	"a.io:443/b@sha256:abc": "a.io/b@sha256:abc",
}

test_folded if {
	every written, form in folded {
		reference.folded(written) == form
	}
}

folded_prefixes := {
	"a.io:443/b": "a.io/b",
	"A.io:5000/": "a.io:5000/",
	"A.io": "a.io",
	"A.io:0443": "a.io/",
	"A.io:80": "a.io/",
	"A.io:8": "a.io:8",
	"A.io:4430": "a.io:4430",
	"team/App": "team/App",
	"nginx:80": "nginx:80",
	"nginx:V1.2": "nginx:V1.2",
	"a.io:V1": "a.io:V1",
	"a.io/b:80": "a.io/b:80",
	"a.io/App": "a.io/App",
	"A.io/b:V1": "a.io/b:V1",
	"EVIL/": "evil:443/",
	"Evil": "Evil",
}

test_folded_prefixes if {
	every written, form in folded_prefixes {
		reference.folded_prefix(written) == form
	}
}

test_a_line_break_hides_nothing if {
	reference.registry("evil.io/a\nb") == "evil.io"
	reference.registry("evil\nio/a") == "docker.io"
	reference.normalised("a\nb:1") == "docker.io/library/a\nb:1"
	reference.folded("evil\n.IO:443/a") == "evil\n.io/a"
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

test_what_is_cut_is_no_reference if {
	long := concat("", [c | some _ in numbers.range(1, 2000); c := "a"])
	not reference.valid(reference.cut(long))
	count(reference.cut(long)) == reference.longest + 1
	reference.cut("a:1") == "a:1"
}
