package lib.patterns_test

import data.lib.patterns
import future.keywords

# What is wrong with each is in a table that Go's readers are held against too; here
# is what is Rego's alone.
test_lists_of_the_plainest_kind if {
	every list in [[], ["nginx"], ["a.io/b/", "c", "d/e-f_g"], ["a/", "b/"]] {
		patterns.plain_prefixes(list)
		every prefix in list {
			not patterns.of_prefix(prefix)
		}
	}
	every list in [["a.io/*"], ["a", "*"], [""], ["a", ""], ["a//b"], ["A/"], ["/"], ["a/", "/b"], ["a", 7], "a", ["a b"], ["a:1"]] {
		not patterns.plain_prefixes(list)
	}
}

test_lists_of_plain_namespaces if {
	every names in [set(), {"dev"}, {"a-b", "c", "d--e"}] {
		patterns.plain_namespaces(names)
		every name in names {
			not patterns.of_namespace(name)
		}
	}
	every names in [{"dev-*"}, {"dev-"}, {"a", "Dev"}, {""}, {"-a"}, {"a-", "b"}, {"*"}] {
		not patterns.plain_namespaces(names)
	}
}

test_in_namespace if {
	every pattern in ["dev-1", "dev-*", "d*", "dev-1*"] {
		patterns.in_namespace(pattern, "dev-1")
	}
	every pattern in ["dev", "dev-10", "prod-*", "dev-1-*"] {
		not patterns.in_namespace(pattern, "dev-1")
	}
}

test_what_is_wrong_with_a_prefix if {
	every value, why in {
		"": "it is empty",
		"a.io/*": "no image has a *: write a.io/ for all below it",
		"*.a.io/": "no image has a *: name each registry and path",
		"https://a.io/": "no image has a scheme: write a.io/",
		"https://": "no image has a scheme",
		"a.io/B": "its path has upper case, and no image's has",
		"a//b": "no image begins like this",
	} {
		patterns.of_prefix(value) == why
	}
	not patterns.of_prefix("A.io:5000/b:V1")
}

test_what_is_wrong_with_images if {
	every value, why in {
		"": "it is empty",
		"a/*": "no image has a *: write a/ for all below it",
		"a.io": "it reads as a repository of Docker Hub: to mean a registry end it with a slash",
		"A B": "it is no pattern of images",
	} {
		patterns.of_images(value) == why
	}
	every value in ["*", "a/", "a", "a.io/b:1"] {
		not patterns.of_images(value)
	}
}

test_what_is_wrong_with_a_namespace if {
	every value, why in {
		"": "it is empty",
		"*": "for all namespaces leave it out",
		"*-dev": "a * may stand at the end only, as in dev-*",
		"Dev": "no namespace is called so: names have lower case, digits and dashes",
	} {
		patterns.of_namespace(value) == why
	}
	not patterns.of_namespace("dev-*")
}

test_what_is_wrong_with_an_identifier if {
	every value, why in {
		"": "it is empty",
		"CVE-2021-*": "no vulnerability has a * in its name: name each",
		"cve-2021": "it is a year: name each vulnerability",
		"CVE 1": "no vulnerability is called so: write it as CVE-2021-38561",
	} {
		patterns.of_identifier(value) == why
	}
	not patterns.of_identifier("CVE-2021-38561")
}

test_closest if {
	patterns.closest({"dev-1": 1, "dev-*": 1}, "dev-1") == "dev-1"
	patterns.closest({"d*": 1, "dev-*": 1, "dev*": 1, "prod": 1}, "dev-1") == "dev-*"
	not patterns.closest({"dev": 1, "prod-*": 1}, "dev-1")
}

test_packages if {
	every name in ["openssl", "@babel/core", "openssl@3", "golang.org/x/text", "libstdc++6"] {
		not patterns.of_package(name)
	}
	patterns.of_package("") == "it is empty"
	patterns.of_package("openssl*") == "no package has a * in its name: name each"
	patterns.of_package("pkg:deb/debian/openssl@3.0") == "it is a package URL: write the name alone"
	patterns.of_package("requests==2.31") == "it has a version: write the name alone, for all versions are meant"
	patterns.of_package("golang.org/x/text@v0.3.5") == "it has a version: write the name alone, for all versions are meant"
	patterns.of_package(" openssl") == "no package is called so"
	patterns.of_package("openssl ") == "no package is called so"
	patterns.of_package("openssl,curl") == "no package is called so"
}
