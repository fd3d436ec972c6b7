package stream

import (
	"context"
	"time"
)

// CollectOlder is Collect with an age of its own.
func (b *Bucket) CollectOlder(ctx context.Context, age time.Duration) (int, error) {
	return b.collect(ctx, age)
}

// WriteObject leaves pieces that no key names.
func (b *Bucket) WriteObject(ctx context.Context, key string, value []byte) error {
	_, err := b.writeObject(ctx, key, value)
	return err
}
