package service

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/imagegate/imagegate/provider/backend"
)

// told is what a replica that scans tells the others with each sign of life. A
// replica that only asks learns of the scanners by it, and one that has its own
// learns that a scan of another's may be as good as its own would be.
type told struct {
	Generations []toldGeneration `json:"generations"`
}

type toldGeneration struct {
	Scanner         string    `json:"scanner,omitempty"`
	DatabaseBuiltAt time.Time `json:"databaseBuiltAt,omitzero"`
}

// info is what the others are told.
func (s *Service) info() json.RawMessage {
	own := s.own.Load()
	if s.o.Workers == 0 || own == nil {
		return nil
	}
	t := told{Generations: make([]toldGeneration, len(*own))}
	for i, g := range *own {
		t.Generations[i] = toldGeneration(g)
	}
	b, err := json.Marshal(t)
	if err != nil {
		s.o.Logger.Warn("what this replica scans with cannot be told to the others", "error", err)
		return nil
	}
	return b
}

// everywhere adds to the generations of this replica's scanners those of the
// other replicas'. One that scans and has not told yet is as a scanner that has
// not: it may be any.
func (s *Service) everywhere(own []backend.Generation) []backend.Generation {
	all := slices.Clone(own)
	add := func(g backend.Generation) {
		if !slices.ContainsFunc(all, func(there backend.Generation) bool { return sameGeneration(there, g) }) {
			all = append(all, g)
		}
	}
	for _, m := range s.queue.Members() {
		if m.Replica == s.o.Shared.Replica || m.Slots == 0 {
			continue
		}
		var t told
		if err := json.Unmarshal(m.Info, &t); err != nil || len(t.Generations) == 0 {
			add(backend.Generation{})
			continue
		}
		for _, g := range t.Generations {
			add(backend.Generation(g))
		}
	}
	return all
}

// news reports whether there is a scanner or a database that was not there
// before: it may well scan what the others could not.
func news(before, now []backend.Generation) bool {
	return slices.ContainsFunc(now, func(g backend.Generation) bool {
		return g != backend.Generation{} && !slices.ContainsFunc(before, func(b backend.Generation) bool { return sameGeneration(b, g) })
	})
}
