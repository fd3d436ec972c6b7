package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bucket/buckettest"
	"github.com/imagegate/imagegate/provider/bucket/stream"
)

const patience = 30 * time.Second

func jetStream(t *testing.T, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	c, err := nats.Connect("", append(options, nats.InProcessServer(s))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	js, err := jetstream.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func open(t *testing.T, js jetstream.JetStream, o stream.Options) *stream.Bucket {
	t.Helper()
	o.JetStream, o.Prefix = js, "test"
	if o.Name == "" {
		o.Name = "b"
	}
	b, err := stream.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestBucket(t *testing.T) {
	js := jetStream(t)
	buckettest.Run(t, func(t *testing.T) []bucket.Bucket {
		name := strings.Map(func(r rune) rune {
			if r == '/' || r == '#' {
				return '-'
			}
			return r
		}, t.Name())
		return []bucket.Bucket{open(t, js, stream.Options{Name: name, MaxBytes: 64 << 20}), open(t, js, stream.Options{Name: name, MaxBytes: 64 << 20})}
	})
}

func put(t *testing.T, b bucket.Bucket, key string, size int) uint64 {
	t.Helper()
	r, err := b.Put(within(t), key, bytes.Repeat([]byte("x"), size), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pieces is how many messages are parts of values.
func pieces(t *testing.T, js jetstream.JetStream) int {
	t.Helper()
	s, err := js.Stream(within(t), "test_b")
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(within(t), jetstream.WithSubjectFilter("test.obj.b.>"))
	if err != nil {
		t.Fatal(err)
	}
	return len(info.State.Subjects)
}

// TestPieces: those of a value are removed with it, and those that a crash left
// are found.
func TestPieces(t *testing.T) {
	js := jetStream(t)
	b := open(t, js, stream.Options{})
	r := put(t, b, "k", 3<<20)
	if n := pieces(t, js); n != 6 {
		t.Fatalf("%d pieces of 3 MiB", n)
	}
	r, err := b.Update(within(t), "k", make([]byte, 2<<20), r)
	if err != nil {
		t.Fatal(err)
	}
	if n := pieces(t, js); n != 4 {
		t.Errorf("%d pieces after it was replaced by 2 MiB", n)
	}
	if _, err := b.Create(within(t), "k", make([]byte, 2<<20)); !errors.Is(err, bucket.ErrExists) {
		t.Error(err)
	}
	if n := pieces(t, js); n != 4 {
		t.Errorf("%d pieces after a write that was refused", n)
	}
	if err := b.Delete(within(t), "k", r); err != nil {
		t.Fatal(err)
	}
	if n := pieces(t, js); n != 0 {
		t.Errorf("%d pieces after it was deleted", n)
	}

	put(t, b, "kept", 2<<20)
	put(t, b, "other", 10)
	for _, key := range []string{"kept", "other", "never"} {
		if err := b.WriteObject(within(t), key, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	// They may be of a write that is under way.
	if n, err := b.Collect(within(t)); n != 0 || err != nil {
		t.Errorf("%d removed too early, %v", n, err)
	}
	if n, err := b.CollectOlder(within(t), 0); n != 3 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	if n := pieces(t, js); n != 4 {
		t.Errorf("%d pieces are left of 4", n)
	}
	if e, err := b.Get(within(t), "kept"); err != nil || e == nil || len(e.Value) != 2<<20 {
		t.Errorf("what a key names was removed: %v, %v", e, err)
	}

	// A value that is not whole is none: not a part of it.
	s, err := js.Stream(within(t), "test_b")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(within(t), "test.obj.b.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(within(t), m.Sequence); err != nil {
		t.Fatal(err)
	}
	if e, err := b.Get(within(t), "kept"); e != nil || err != nil {
		t.Errorf("a part of a value is read: %v, %v", e, err)
	}
	var kinds []bucket.Kind
	ctx, cancel := context.WithCancel(within(t))
	_ = b.Watch(ctx, bucket.WatchOptions{}, func(e bucket.Event) {
		if e.Entry.Key == "kept" {
			kinds = append(kinds, e.Kind)
		}
		if e.Kind == bucket.Synced {
			cancel()
		}
	})
	if len(kinds) != 1 || kinds[0] != bucket.Deleted {
		t.Errorf("a watch tells of a value that is not whole: %v", kinds)
	}
}

// TestSlowWatch: one that is behind for longer than deletions are remembered
// begins anew.
func TestSlowWatch(t *testing.T) {
	b := open(t, jetStream(t), stream.Options{MarkerTTL: time.Second})
	put(t, b, "gone", 1)
	there := map[string]bool{}
	resets, stuck := 0, make(chan struct{})
	events := make(chan bucket.Event, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Watch(ctx, bucket.WatchOptions{}, func(e bucket.Event) {
			events <- e
			if e.Entry.Key == "stick" {
				<-stuck
			}
		})
	}()
	defer func() {
		cancel()
		<-done
	}()
	see := func(until func(bucket.Event) bool) {
		t.Helper()
		for {
			select {
			case e := <-events:
				switch e.Kind {
				case bucket.Reset:
					resets++
					there = map[string]bool{}
				case bucket.Wrote:
					there[e.Entry.Key] = true
				case bucket.Deleted:
					delete(there, e.Entry.Key)
				case bucket.Synced:
				}
				if until(e) {
					return
				}
			case <-time.After(patience):
				t.Fatal("no event")
			}
		}
	}
	see(func(e bucket.Event) bool { return e.Kind == bucket.Synced })
	put(t, b, "stick", 1)
	see(func(e bucket.Event) bool { return e.Entry.Key == "stick" })
	// More than is sent ahead, so that the marker is not told before it ends.
	for i := range 600 {
		put(t, b, fmt.Sprintf("noise.%d", i), 1)
	}
	if err := b.Delete(within(t), "gone", 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	put(t, b, "after", 1)
	close(stuck)
	see(func(e bucket.Event) bool { return e.Entry.Key == "after" })
	put(t, b, "last", 1)
	see(func(e bucket.Event) bool { return e.Entry.Key == "last" })
	if there["gone"] {
		t.Errorf("a deletion was missed; the watch began %d times", resets)
	}
	if resets < 2 {
		t.Errorf("the watch began %d times", resets)
	}
}

// TestNoRoom: whoever knows better than the server that nothing may be written is
// asked.
func TestNoRoom(t *testing.T) {
	var none error
	b := open(t, jetStream(t), stream.Options{Room: func() error { return none }})
	put(t, b, "a", 1)
	none = errors.New("for a reason")
	for name, err := range map[string]error{
		"Put":    func() error { _, err := b.Put(within(t), "a", nil, nil); return err }(),
		"Create": func() error { _, err := b.Create(within(t), "b", make([]byte, 2<<20)); return err }(),
		"Delete": b.Delete(within(t), "a", 0),
	} {
		if !errors.Is(err, bucket.ErrFull) || !strings.Contains(err.Error(), "for a reason") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if e, err := b.Get(within(t), "a"); e == nil || err != nil {
		t.Errorf("Get: %v, %v", e, err)
	}
}
