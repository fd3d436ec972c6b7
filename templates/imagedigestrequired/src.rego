package imagedigestrequired

import data.lib.breakglass
import data.lib.messages
import data.lib.pod
import data.lib.prefixes
import data.lib.settings
import future.keywords

violation contains outcome if some outcome in breakglass.outcome(denials, set())

denials := (settings.denials(mistakes) | unpinned) | pod.crowded

mistakes := settings.mistakes | settings.mistakes_of_prefixes("exemptImages")

unpinned := {{"msg": msg, "details": {"image": entry.image, "containers": [entry.name]}} |
	count(mistakes) == 0
	some entry in pod.judged
	not pinned(entry.image)
	not prefixes.listed(entry.image, settings.list("exemptImages"))
	msg := messages.rejection(entry.image, "It is not pinned by digest", "", [sprintf("write it as %s@sha256:..., or have the mutator pin it.", [untagged(entry.image)]), messages.help])
}

pinned(image) if regex.match(`^[^@]+@sha(256:[a-f0-9]{64}|512:[a-f0-9]{128})$`, image)

# The reference up to its tag or malformed digest.
untagged(image) := regex.replace(split(image, "@")[0], `:[^/:]*$`, "")
