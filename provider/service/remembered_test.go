package service

import (
	"fmt"
	"testing"
)

// TestOneNamespacesFailuresPushOutItsOwn, and of those the one that was asked
// about least lately.
func TestOneNamespacesFailuresPushOutItsOwn(t *testing.T) {
	m := newRemembered(10)
	for i := range 3 {
		m.add(failureRecord{Key: fmt.Sprint("good-", i), Namespace: "good"})
	}
	for i := range 100 {
		gone := m.add(failureRecord{Key: fmt.Sprint("evil-", i), Namespace: "evil"})
		m.get("evil-0")
		if (gone != "") != (i >= 7) || gone == "evil-0" {
			t.Errorf("%d: %q is gone", i, gone)
		}
	}
	for _, key := range []string{"good-0", "good-1", "good-2", "evil-0", "evil-99"} {
		if _, ok := m.get(key); !ok {
			t.Errorf("%s is forgotten", key)
		}
	}
	if len(m.keys()) != 10 || len(m.all()) != 10 || len(m.by) != 2 {
		t.Errorf("%v of %d namespaces", m.keys(), len(m.by))
	}
	// Its namespace is that of who had it tried last.
	m.add(failureRecord{Key: "evil-0", Namespace: "good", Row: 2})
	if r, ok := m.peek("evil-0"); !ok || r.Row != 2 || len(m.keys()) != 10 {
		t.Errorf("%+v, %v", r, m.keys())
	}
	for _, key := range m.keys() {
		if !m.remove(key) || m.remove(key) {
			t.Errorf("removing %s", key)
		}
	}
	if _, ok := m.get("evil-0"); ok || len(m.of) != 0 || len(m.by) != 0 {
		t.Errorf("left: %v, %v", m.of, m.by)
	}
}
