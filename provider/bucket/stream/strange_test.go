package stream_test

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bucket/stream"
)

// TestAMessageThatCannotBeRead, of a newer version or by another hand, is one entry
// without a value. Of all others the watch goes on telling, and a write puts it
// right.
func TestAMessageThatCannotBeRead(t *testing.T) {
	for name, header := range map[string][2]string{
		"what is written beside it": {"Imagegate-Meta", "%zz"},
		"where its value is":        {"Imagegate-Object", "v2:everywhere"},
	} {
		t.Run(name, func(t *testing.T) {
			js := jetStream(t)
			b := open(t, js, stream.Options{})
			put(t, b, "before", 1)
			m := nats.NewMsg("test.kv.b.strange")
			m.Header.Set(header[0], header[1])
			m.Data = []byte("value")
			ack, err := js.PublishMsg(within(t), m)
			if err != nil {
				t.Fatal(err)
			}
			put(t, b, "after", 1)

			for _, without := range []bool{false, true} {
				told := map[string]bucket.Entry{}
				ctx, done := context.WithCancel(within(t))
				err = b.Watch(ctx, bucket.WatchOptions{WithoutValues: without}, func(e bucket.Event) {
					switch e.Kind {
					case bucket.Wrote:
						told[e.Entry.Key] = e.Entry
					case bucket.Synced:
						done()
					case bucket.Deleted, bucket.Reset: // says nothing of an entry that there is
					}
				})
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("the watch did not tell all there is, but %v: %v", told, err)
				}
				if e, ok := told["strange"]; !ok || e.Revision != ack.Sequence || len(e.Value) != 0 || len(told) != 3 {
					t.Errorf("told of %v", told)
				}
			}
			e, err := b.Get(within(t), "strange")
			if err != nil || e == nil || e.Revision != ack.Sequence || len(e.Value) != 0 {
				t.Fatalf("Get: %+v, %v", e, err)
			}
			if _, err := b.Update(within(t), "strange", []byte("right"), e.Revision); err != nil {
				t.Fatal(err)
			}
			if e, err = b.Get(within(t), "strange"); err != nil || string(e.Value) != "right" {
				t.Errorf("Get: %+v, %v", e, err)
			}
		})
	}
}
