package inventory

import (
	"cmp"
	"slices"
)

// uses are in the order in which they are shown; a record has the place in it.
var uses = [...]Use{AsContainer, AsInitContainer, AsEphemeralContainer, AsVolume}

func compareContainers(a, b Container) int {
	return cmp.Or(cmp.Compare(slices.Index(uses[:], a.Use), slices.Index(uses[:], b.Use)), cmp.Compare(a.Name, b.Name))
}

func comparePlaces(a, b *Place) int {
	return cmp.Or(
		cmp.Compare(a.Workload.Namespace, b.Workload.Namespace),
		cmp.Compare(a.Workload.Kind, b.Workload.Kind),
		cmp.Compare(a.Workload.Name, b.Workload.Name),
		cmp.Compare(a.Image, b.Image),
		cmp.Compare(a.Original, b.Original),
		cmp.Compare(a.Pinned, b.Pinned),
		cmp.Compare(a.Running, b.Running),
	)
}
