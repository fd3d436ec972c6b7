package store_test

import (
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/store"
	"github.com/imagegate/imagegate/provider/store/storetest"
)

// Who looks through all reports is told of each change and reads all of them, and takes
// no part in what is kept: not in memory, and not in the order in which reports go.
func TestAllReportsAreLookedThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty()
		r, other := running(t, store.ReportsOptions{Bucket: b, Unasked: true}), running(t, store.ReportsOptions{Bucket: b})
		synctest.Wait()
		told := func(c <-chan struct{}) bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		changed := r.Changed()
		if all, complete := r.All(); len(all) != 0 || !complete || told(changed) {
			t.Fatalf("at first: %v, %t", all, complete)
		}
		revision := putReport(t, other, "shop", 1, 3)
		synctest.Wait()
		if !told(changed) {
			t.Error("a change was not told")
		}
		if all, _ := r.All(); len(all) != 1 || all[0] != (store.Stored{Key: storetest.Key(1), Revision: revision}) {
			t.Errorf("%+v", all)
		}
		want, err := other.Get(t.Context(), storetest.Key(1))
		if err != nil {
			t.Fatal(err)
		}
		before := r.InMemory()
		scan, err := r.Peek(t.Context(), storetest.Key(1))
		if err != nil || !reflect.DeepEqual(scan, want) {
			t.Errorf("%+v, %v; want %+v", scan, err, want)
		}
		if r.InMemory() != before {
			t.Error("what was looked at takes a place in memory")
		}
		// One that cannot be read is there, before and after somebody asks for it.
		if _, err := b.Put(t.Context(), storetest.Key(3), []byte("damaged"), bucket.Meta{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, when := range []string{"before it is asked for", "after"} {
			if all, _ := r.All(); len(all) != 2 {
				t.Errorf("%s there are %v", when, all)
			}
			if scan, err := r.Peek(t.Context(), storetest.Key(3)); scan != nil || err == nil || !strings.Contains(err.Error(), "cannot be read") {
				t.Errorf("%s: %v, %v", when, scan, err)
			}
			if scan, err := r.Get(t.Context(), storetest.Key(3)); scan != nil || err != nil {
				t.Errorf("%s: to be scanned: %v, %v", when, scan, err)
			}
		}
		if err := b.Delete(t.Context(), storetest.Key(3), 0); err != nil {
			t.Fatal(err)
		}
		if scan, err := r.Peek(t.Context(), storetest.Key(2)); scan != nil || err != nil {
			t.Errorf("of none: %v, %v", scan, err)
		}
		changed = r.Changed()
		if err := b.Delete(t.Context(), storetest.Key(1), 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if all, _ := r.All(); len(all) != 0 || !told(changed) {
			t.Errorf("after its end: %v", all)
		}
		b.away.Store(true)
		time.Sleep(time.Second)
	})
}
