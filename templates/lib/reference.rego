# Image references, read as container runtimes (and go-containerregistry) do.
package lib.reference

import future.keywords

# A reference that may be sent as a key: nothing in it can be taken for the
# key's own syntax.
valid(image) if regex.match(`^[A-Za-z0-9\[][A-Za-z0-9._:/@\[\]-]*$`, image)

# No reference is longer, for the provider neither. A Pod may have anything in the
# place of one, and reading it in all its spellings would outlast the webhook.
longest := 1024

# An image as far as it can be one. What is cut is no valid reference.
cut(image) := image if {
	count(image) <= longest
} else := concat("", [substring(image, 0, longest), "…"])

# The usual spelling: a registry's host in lower case, with a dot and without a port, and
# at the end either a tag or a digest. It is its own only reading, and no other spelling
# means the same: what nearly every Pod has is not taken apart.
usual(image) if {
	regex.match(`^[a-z0-9-]*\.[a-z0-9.-]*/[^:@]*(?::[^:@/]+|@[^@]+)$`, image)
	not split(image, "/")[0] in hub_names
}

# The parts of a reference. host is "" where none is written.
parse(image) := {"host": host(base), "path": path(base), "tag": tag, "digest": digest} if {
	halves := split(image, "@")
	digest := concat("@", array.slice(halves, 1, count(halves)))
	[_, base, tag] := regex.find_all_string_submatch_n(`(?s)^(.*?)(?::([^/:]*))?$`, halves[0], 1)[0]
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
readings(image) := {image} if {
	usual(image)
} else := {image, normalised(image)}

# Other spellings of the same image. They may only tighten a decision: a rule
# against nginx is not escaped by writing docker.io/nginx, one against a registry
# not by its port or upper case, one against a digest not by a tag before it.
other_spellings(image) := set() if {
	usual(image)
} else := union({spellings |
	some reading in sound(image)
	spellings := ({reading, folded(reading)} | hub_spellings(reading)) | latest_spellings(reading)
}) - readings(image)

# A reference without the tag that stands before a digest, beside the reference
# itself. The runtime pulls by the digest and nobody checks the tag.
sound(image) := {image} if {
	usual(image)
} else := {image, concat("@", [tagless, parsed.digest])} if {
	parsed := parse(image)
	parsed.tag != ""
	parsed.digest != ""
	tagless := trim_suffix(split(image, "@")[0], concat(":", ["", parsed.tag]))
} else := {image}

# The reference without its digest where it has a tag as well, else "".
tagged(image) := "" if {
	usual(image)
} else := split(image, "@")[0] if {
	parsed := parse(image)
	parsed.tag != ""
	parsed.digest != ""
} else := ""

hub_spellings(image) := {concat("", [start, name, suffix(parsed)]) |
	parsed := parse(image)
	known_as_hub(parsed.host)
	some start in ["", "docker.io/", "index.docker.io/", "registry-1.docker.io/", "registry.hub.docker.com/"]
	some name in {hub_path(parsed), trim_prefix(hub_path(parsed), "library/")}
}

# Where an image of Docker Hub can be pulled from, beyond the names that mean it.
known_as_hub("")

known_as_hub(host) if folded_host(host) in hub_names

hub_names := {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}

# A reference without tag and digest means the tag latest.
latest_spellings(image) := {concat("", [spelling, ":latest"]) |
	suffix(parse(image)) == ""
	some spelling in ((readings(image) | {folded(image)}) | hub_spellings(image))
}

# The reference or prefix with its host as it is looked up and dialled.
folded(image) := image if {
	usual(image)
} else := concat("", [folded_host(first), substring(image, count(first), -1)]) if {
	first := host(image)
	first != ""
} else := image

# Case means nothing in a host, nor do zeros before a port, nor a port that is
# the default. Without one, a host like registry:443 would be a path of Docker Hub.
folded_host(written) := folded_port(name, port) if {
	[_, name, port] := regex.find_all_string_submatch_n(`(?s)^(.+?)(?::0*([0-9]+))?$`, lower(written), 1)[0]
}

folded_port(name, port) := concat(":", [name, port]) if {
	not port in {"", "80", "443"}
} else := name if {
	is_host(name)
} else := concat(":", [name, "443"])

# All of a list of prefixes folded. Where nothing could change none is looked at.
folded_prefixes(list) := list if {
	joined := concat("\n", list)
	lower(joined) == joined
	not contains(joined, ":")
} else := [folded_prefix(prefix) | some prefix in list]

# A rule's prefix, for comparison with folded references. Without a slash it may
# be the start of a host or of a path: only what has a dot before any colon is
# taken for a host, and for a whole one where its port is the default.
folded_prefix(prefix) := folded(prefix) if {
	regex.match(`(?s)[A-Z:].*/`, prefix)
} else := concat("", [folded_host(prefix), "/"]) if {
	regex.match(`^[^:/]*\.[^:/]*:0*(80|443)$`, prefix)
} else := concat("", [lower(name), substring(prefix, count(name), -1)]) if {
	not contains(prefix, "/")
	name := split(prefix, ":")[0]
	contains(name, ".")
} else := prefix

# The repository in full, without tag and digest.
repository(image) := concat("/", ["docker.io", hub_path(parsed)]) if {
	parsed := parse(image)
	hub(parsed)
} else := concat("/", [parse(image).host, parse(image).path])

# The repository in the one spelling that loosening rules compare: by whatever name
# and port its registry was written.
canonical(image) := concat("/", ["docker.io", hub_path(parsed)]) if {
	parsed := parse(image)
	known_as_hub(parsed.host)
} else := concat("/", [folded_host(parsed.host), parsed.path]) if {
	parsed := parse(image)
}

# Docker Hub under its one name.
docker_io(registry) := concat("", ["docker.io", substring(registry, count("index.docker.io"), -1)]) if {
	regex.match(`^index\.docker\.io(/|$)`, registry)
} else := registry
