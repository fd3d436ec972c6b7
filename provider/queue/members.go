package queue

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Member is a replica that takes part.
type Member struct {
	Replica string
	// Slots is how many jobs it does at once.
	Slots int
	// Info is what its Options.Info said.
	Info json.RawMessage
	// Seen is when it last gave a sign of life.
	Seen time.Time
}

// Members returns the replicas that are alive, this one included once it has
// seen itself, by name.
func (q *Queue) Members() []Member {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []Member
	for _, name := range slices.Sorted(maps.Keys(q.members)) {
		if m := q.members[name]; q.alive(m) {
			list = append(list, Member{Replica: name, Slots: m.record.Slots, Info: m.record.Info, Seen: m.seen})
		}
	}
	return list
}

// live gives a sign of life now and then.
func (q *Queue) live() {
	tick := time.NewTicker(q.o.Heartbeat)
	defer tick.Stop()
	for {
		q.beat()
		select {
		case <-tick.C:
		case <-q.root.Done():
			return
		}
	}
}

func (q *Queue) beat() {
	_, incarnation, _ := strings.Cut(q.self, "/")
	r := memberRecord{Version: version, Incarnation: incarnation, Slots: q.o.Slots, PerRegistry: q.o.PerRegistry}
	q.mu.Lock()
	if q.closing {
		r.Slots, r.PerRegistry = 0, 0
	}
	q.mu.Unlock()
	if q.o.Info != nil {
		r.Info = q.o.Info()
	}
	ctx, cancel := context.WithTimeout(q.root, writeTimeout)
	defer cancel()
	if _, err := q.o.Bucket.Put(ctx, memberPrefix+q.o.Replica, encode(r), nil); err != nil && q.root.Err() == nil {
		q.o.Logger.Warn("this replica cannot tell the others that it is there", "error", err)
	}
}
