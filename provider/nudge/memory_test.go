package nudge

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/owner"
)

func job(namespace, name string) id {
	return id{namespace, owner.Reference{Kind: owner.Job, Name: name, UID: "u"}}
}

func TestANoisyNamespaceForgetsItsOwn(t *testing.T) {
	for name, m := range map[string]*memory{
		"by number": newMemory(100, 1<<30),
		"by bytes":  newMemory(1<<30, 100*(ownerOverhead+keyOverhead+20)),
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			for i := range 10 {
				m.wait(job("quiet", fmt.Sprint(i)), "a", now)
			}
			forgotten := 0
			for i := range 5000 {
				forgotten += m.wait(job("noisy", fmt.Sprint(i)), strings.Repeat("b", i%20), now)
			}
			if len(m.owners) > 110 || forgotten < 4000 {
				t.Errorf("%d are remembered, %d were forgotten", len(m.owners), forgotten)
			}
			if m.owners[job("noisy", "4999")] == nil {
				t.Error("the newest was forgotten")
			}
			for i := range 10 {
				if m.owners[job("quiet", fmt.Sprint(i))] == nil {
					t.Errorf("%d of the quiet namespace was forgotten", i)
				}
			}
			m.over("a", now)
			for i := range 10 {
				if m.take(now) == nil {
					t.Fatalf("%d are nudged", i)
				}
			}
		})
	}
}

func TestKeysOfAnOwnerAreBounded(t *testing.T) {
	m := newMemory(10, 1<<30)
	for i := range 10 * maxKeys {
		m.wait(job("shop", "j"), fmt.Sprint(i), time.Now())
	}
	if n := len(m.waiting); n != maxKeys {
		t.Errorf("it waits for %d keys, want %d", n, maxKeys)
	}
}

// TestMemoryIsConsistent does what may happen in any order, and wants all the
// books to agree after each step.
func TestMemoryIsConsistent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := newMemory(20, 30*(ownerOverhead+2*keyOverhead))
	now := time.Now()
	var taken []*entry
	for range 20000 {
		who, key := job(fmt.Sprint("ns-", r.IntN(4)), fmt.Sprint("j-", r.IntN(12))), fmt.Sprint("k-", r.IntN(15))
		switch r.IntN(7) {
		case 0, 1, 2:
			m.wait(who, key, now)
		case 3:
			m.over(key, now)
		case 4:
			if e := m.take(now); e != nil {
				taken = append(taken, e)
			}
		case 5:
			if len(taken) > 0 {
				m.retry(taken[0], now.Add(time.Second))
				taken = taken[1:]
			}
		case 6:
			m.sweep(now)
		}
		now = now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
		m.check(t)
	}
	m.sweep(now.Add(2 * lifetime))
	m.check(t)
	if len(m.owners) != 0 || m.bytes != 0 || len(m.waiting) != 0 || len(m.accounts) != 0 || len(m.schedule) != 0 || m.turns.Len() != 0 {
		t.Errorf("something is left: %+v", m)
	}
}

func (m *memory) check(t *testing.T) {
	t.Helper()
	bytes, ready, keys := 0, 0, 0
	for who, e := range m.owners {
		bytes += e.bytes
		keys += len(e.keys)
		if e.id != who || e.account != m.accounts[who.namespace] || e.due.IsZero() != (e.place == outside && e.ready == nil) ||
			e.place != outside && (e.ready != nil || m.schedule[e.place] != e) {
			t.Fatalf("entry %+v", e)
		}
		if e.ready != nil {
			ready++
		}
		for key := range e.keys {
			if _, ok := m.waiting[key][e]; !ok {
				t.Fatalf("%v is not found by %s", who, key)
			}
		}
	}
	of, inAccounts, inReady, turns := 0, 0, 0, 0
	for _, a := range m.accounts {
		of += a.bytes
		inAccounts += a.entries.Len()
		inReady += a.ready.Len()
		if a.turn != nil {
			turns++
		}
		if (a.turn != nil) != (a.ready.Len() > 0) {
			t.Fatalf("account %s has %d ready, a turn: %v", a.namespace, a.ready.Len(), a.turn != nil)
		}
	}
	for _, waiting := range m.waiting {
		keys -= len(waiting)
	}
	if bytes != m.bytes || of != m.bytes || keys != 0 || inAccounts != len(m.owners) || inReady != ready || turns != m.turns.Len() {
		t.Fatalf("bytes %d, %d, %d; keys too many %d; entries %d of %d; ready %d of %d; turns %d of %d",
			bytes, of, m.bytes, keys, inAccounts, len(m.owners), inReady, ready, turns, m.turns.Len())
	}
	if len(m.owners) > m.maxOwners || m.bytes > m.maxBytes {
		t.Fatalf("%d owners, %d bytes", len(m.owners), m.bytes)
	}
}
