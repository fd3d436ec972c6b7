package imageregistryallowed

import data.lib.breakglass
import data.lib.messages
import data.lib.pod
import data.lib.reference
import data.lib.settings
import future.keywords

violation contains outcome if some outcome in breakglass.outcome(denials, set())

denials := (settings.denials(mistakes) | elsewhere) | pod.crowded

mistakes := (settings.mistakes | missing) | malformed

missing contains "registries is missing: list the registries to allow" if not settings.parameter("registries")

malformed contains settings.invalid("registries", registry, "a registry, optionally with a path: registry.example.com/team") if {
	some registry in settings.list("registries")
	not well_formed(registry)
}

malformed contains settings.invalid("registries", found, "a list") if {
	found := settings.parameter("registries")
	not is_array(found)
}

# A host as image references have it, then whole path segments.
well_formed(registry) if {
	is_string(registry)
	regex.match(`^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?(/[a-z0-9._-]+)*/?$`, registry)
	reference.is_host(split(registry, "/")[0])
}

elsewhere := {{"msg": msg, "details": {"image": entry.image, "containers": [entry.name]}} |
	count(mistakes) == 0
	some entry in pod.judged
	not allowed(entry.image)
	msg := messages.rejection(entry.image, sprintf("Registry '%s' is not allowed", [reference.registry(entry.image)]), "", [sprintf("the policy allows %s.", [listed]), messages.help])
}

listed := "none" if {
	count(settings.list("registries")) == 0
} else := concat(", ", settings.list("registries"))

# Whole segments are compared: registry.example.com does not allow
# registry.example.com.evil.net, and team does not allow team2.
allowed(image) if {
	reference.valid(image)
	repository := concat("", [reference.repository(image), "/"])
	some registry in settings.list("registries")
	startswith(repository, concat("", [trim_suffix(reference.docker_io(registry), "/"), "/"]))
}
