# What is wrong with what names images, namespaces, vulnerabilities or packages: undefined
# where nothing is. A rule that can never match lets through what it was written to
# stop. Package provider/pattern says the same of the provider's files, and one table
# (provider/pattern/testdata/cases.yaml) is held against both.
package lib.patterns

import future.keywords

prefix_form := `^(([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)*/|(([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/[a-z0-9][a-z0-9._-]*)+|([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]))(:[A-Za-z0-9._-]*)?(@([a-z0-9+._-]+(:[a-f0-9]*)?)?)?)$`

# A prefix of image references.
of_prefix(value) := why if {
	why := stray(value)
} else := "its path has upper case, and no image's has" if {
	not regex.match(prefix_form, value)
	regex.match(`^[^/:@]*(:[0-9]+)?/[^:@]*[A-Z]`, value)
} else := "no image begins like this" if not regex.match(prefix_form, value)

# Whether all of a list are prefixes of the plainest kind, as nearly all are: one
# look instead of many, on the way of every Pod.
plain_prefixes(list) if regex.match(`^[a-z0-9](?:[a-z0-9._-]|/(?:[a-z0-9]|\n[a-z0-9])|\n[a-z0-9])*$`, concat("\n", array.concat(list, ["0"])))

# What a pattern of images has that is in no image.
stray("") := "it is empty"

stray(value) := sprintf("no image has a scheme: write %s", [after]) if {
	after := after_scheme(value)
	after != ""
} else := "no image has a scheme" if {
	contains(value, "://")
} else := sprintf("no image has a *: write %s for all below it", [folder]) if {
	contains(value, "*")
	folder := trim_right(value, "*")
	endswith(folder, "/")
	not contains(folder, "*")
} else := "no image has a *: name each registry and path" if contains(value, "*")

after_scheme(value) := concat("://", array.slice(parts, 1, count(parts))) if {
	contains(value, "://")
	parts := split(value, "://")
}

folder_form := `^([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?(/[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*)*/$`

image_form := `^(([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/)?[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_{1,2}|-+)[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[a-f0-9]{64})?$`

# The images of an exception: "*", all below a path, a repository, a reference.
of_images(value) := why if {
	value != "*"
	why := stray(value)
} else := "it reads as a repository of Docker Hub: to mean a registry end it with a slash" if {
	regex.match(`^(localhost|[^:/@]*\.[^:/@]*)(:[^/@]*)?$`, value)
} else := "it is no pattern of images" if {
	value != "*"
	not regex.match(folder_form, value)
	not regex.match(image_form, value)
}

# A namespace, or the start of some and a *.
of_namespace("") := "it is empty"

of_namespace("*") := "for all namespaces leave it out"

of_namespace(value) := why if {
	not value in {"", "*"}
	not regex.match(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$|^[a-z0-9][a-z0-9-]*\*$`, value)
	why := not_a_namespace(value)
}

not_a_namespace(value) := "a * may stand at the end only, as in dev-*" if {
	contains(value, "*")
} else := "no namespace is called so: names have lower case, digits and dashes"

# Whether all of a set are plain names of namespaces.
plain_namespaces(names) if regex.match(`^[a-z0-9](?:[a-z0-9]|-+[a-z0-9]|\n[a-z0-9])*$`, concat("\n", names | {"0"}))

in_namespace(pattern, namespace) if pattern == namespace

in_namespace(pattern, namespace) if {
	endswith(pattern, "*")
	startswith(namespace, trim_suffix(pattern, "*"))
}

# Of some patterns, by their own name, the one that holds for a namespace: its name
# itself, else the longest. Starts of one name sort by their length.
closest(said, namespace) := namespace if {
	namespace in object.keys(said)
} else := max(found) if {
	found := [pattern |
		some pattern in object.keys(said)
		endswith(pattern, "*")
		startswith(namespace, trim_suffix(pattern, "*"))
	]
	count(found) > 0
}

# The identifier of a vulnerability.
of_identifier("") := "it is empty"

of_identifier(value) := "no vulnerability has a * in its name: name each" if {
	contains(value, "*")
} else := "it is a year: name each vulnerability" if {
	regex.match(`^(?i:CVE)-[0-9]{4}$`, value)
} else := "no vulnerability is called so: write it as CVE-2021-38561" if {
	value != ""
	not regex.match(`^[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9.:_+]+)+$`, value)
}

# The name of a package, which is compared whole.
of_package("") := "it is empty"

of_package(value) := "no package has a * in its name: name each" if {
	contains(value, "*")
} else := "it is a package URL: write the name alone" if {
	startswith(value, "pkg:")
} else := "it has a version: write the name alone, for all versions are meant" if {
	regex.match(`=|@v[0-9]`, value)
} else := "no package is called so" if {
	value != ""
	regex.match(`^\s|\s$|[,\n]`, value)
}
