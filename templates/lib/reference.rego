# Image references, read as container runtimes (and go-containerregistry) do.
package lib.reference

import future.keywords

# A reference that may be sent as a key: nothing in it can be taken for the
# key's own syntax.
valid(image) if regex.match(`^[A-Za-z0-9\[][A-Za-z0-9._:/@\[\]-]*$`, image)

# The parts of a reference. host is "" where none is written.
parse(image) := {"host": host(base), "path": path(base), "tag": tag, "digest": digest} if {
	halves := split(image, "@")
	digest := concat("@", array.slice(halves, 1, count(halves)))
	[_, base, tag] := regex.find_all_string_submatch_n(`^(.*?)(?::([^/:]*))?$`, halves[0], 1)[0]
}

# A first segment is a host when it could not be a path on Docker Hub.
host(base) := first if {
	segments := split(base, "/")
	count(segments) > 1
	first := segments[0]
	is_host(first)
} else := ""

is_host("localhost")

is_host(segment) if contains(segment, ".")

is_host(segment) if contains(segment, ":")

# Runtimes take it for one too: no path has upper case.
is_host(segment) if lower(segment) != segment

path(base) := base if {
	host(base) == ""
} else := substring(base, count(host(base)) + 1, -1)

hub(parsed) if parsed.host in {"", "docker.io", "index.docker.io"}

# The path of an image of Docker Hub, with the library/ that may be left out.
hub_path(parsed) := concat("/", ["library", parsed.path]) if {
	not contains(parsed.path, "/")
} else := parsed.path

# What follows the path as written: :tag, @digest, both or nothing.
suffix(parsed) := concat("", [prefixed(":", parsed.tag), prefixed("@", parsed.digest)])

prefixed(_, "") := ""

prefixed(mark, value) := concat("", [mark, value]) if value != ""

# The full spelling: nginx is docker.io/library/nginx, index.docker.io is docker.io.
# No tag is added where none is written.
normalised(image) := concat("", ["docker.io/", hub_path(parsed), suffix(parsed)]) if {
	parsed := parse(image)
	hub(parsed)
} else := image

# Where the image is pulled from.
registry(image) := "docker.io" if {
	hub(parse(image))
} else := parse(image).host

# The spellings that rules are held against: as written and normalised.
readings(image) := {image, normalised(image)}

# Other spellings of the same image. They may only tighten a decision: a rule
# against nginx is not escaped by writing docker.io/nginx.
other_spellings(image) := (hub_spellings(image) | latest_spellings(image)) - readings(image)

hub_spellings(image) := {concat("", [start, name, suffix(parsed)]) |
	parsed := parse(image)
	hub(parsed)
	some start in ["", "docker.io/", "index.docker.io/"]
	some name in {hub_path(parsed), trim_prefix(hub_path(parsed), "library/")}
}

# A reference without tag and digest means the tag latest.
latest_spellings(image) := {concat("", [spelling, ":latest"]) |
	suffix(parse(image)) == ""
	some spelling in (readings(image) | hub_spellings(image))
}

# The repository in full, without tag and digest.
repository(image) := concat("/", ["docker.io", hub_path(parsed)]) if {
	parsed := parse(image)
	hub(parsed)
} else := concat("/", [parse(image).host, parse(image).path])

# Docker Hub under its one name.
docker_io(registry) := concat("", ["docker.io", substring(registry, count("index.docker.io"), -1)]) if {
	regex.match(`^index\.docker\.io(/|$)`, registry)
} else := registry
