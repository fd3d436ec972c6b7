package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/imagegate/imagegate/provider/bucket"
)

const (
	// largestValue is what is kept in one message although more would fit.
	largestValue = 1<<20 - margin
	// margin is for the subject and the headers.
	margin = 16 << 10
	// pieceBytes is a piece of a value that is kept in several.
	pieceBytes = 512 << 10
	// orphanAge is how long pieces may be without a key that names them: as long
	// as a write takes.
	orphanAge = 10 * time.Minute
)

// errPieces means that an object is not there, or not what it was.
var errPieces = errors.New("the pieces of the value are not all there")

// object is a value in pieces.
type object struct {
	id     string
	pieces int
	size   int
	sum    string // SHA-256, hexadecimal
}

func (o *object) String() string {
	return url.Values{"id": {o.id}, "pieces": {strconv.Itoa(o.pieces)}, "size": {strconv.Itoa(o.size)}, "sha256": {o.sum}}.Encode()
}

// parseObject returns nil for no object.
func parseObject(s string) (*object, error) {
	if s == "" {
		return nil, nil
	}
	v, err := url.ParseQuery(s)
	if err != nil {
		return nil, fmt.Errorf("header %s: %w", headerObject, err)
	}
	o := &object{id: v.Get("id"), sum: v.Get("sha256")}
	if o.pieces, err = strconv.Atoi(v.Get("pieces")); err == nil {
		o.size, err = strconv.Atoi(v.Get("size"))
	}
	if err != nil || o.size < 0 || !validName.MatchString(o.id) {
		return nil, fmt.Errorf("header %s: %q is no object", headerObject, s)
	}
	return o, nil
}

func headerInt(h nats.Header, name string) (int, error) {
	s := h.Get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fmt.Errorf("header %s: %w", name, err)
	}
	return n, nil
}

func (b *Bucket) piecePrefix() string           { return b.o.Prefix + ".obj." + b.name + "." }
func (b *Bucket) pieces() string                { return b.piecePrefix() + ">" }
func (b *Bucket) objectPieces(id string) string { return b.piecePrefix() + id + ".>" }
func (b *Bucket) piece(id string, n int) string { return b.piecePrefix() + id + "." + strconv.Itoa(n) }

// objectOf returns the object that a piece's subject belongs to.
func (b *Bucket) objectOf(subject string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(subject, b.piecePrefix()), ".")
	return id
}

// fits is how large a value may be in one message.
func (b *Bucket) fits() int {
	most := int(b.conn.MaxPayload())
	if most < 4*margin {
		return most / 2
	}
	return min(most-margin, largestValue)
}

func (b *Bucket) writeObject(ctx context.Context, key string, value []byte) (*object, error) {
	b.objects.Store(true)
	sum := sha256.Sum256(value)
	o := &object{id: nuid.Next(), size: len(value), sum: hex.EncodeToString(sum[:])}
	for rest, most := value, min(b.fits(), pieceBytes); len(rest) > 0; o.pieces++ {
		n := min(len(rest), most)
		m := nats.NewMsg(b.piece(o.id, o.pieces))
		m.Header.Set(headerKey, key)
		m.Data = rest[:n]
		rest = rest[n:]
		if _, err := b.write(ctx, key, m, condition{kind: always}); err != nil {
			if errors.Is(err, bucket.ErrFull) {
				b.remove(ctx, o)
			}
			return nil, err
		}
	}
	return o, nil
}

func (b *Bucket) readObject(ctx context.Context, o *object) ([]byte, error) {
	value := bytes.NewBuffer(make([]byte, 0, min(o.size, 64<<20)))
	for n := range o.pieces {
		m, err := b.near(ctx, b.piece(o.id, n))
		if err == nil && m == nil {
			m, err = b.last(ctx, b.piece(o.id, n))
		}
		switch {
		case err != nil:
			return nil, err
		case m == nil || isMarker(m.Header):
			return nil, errPieces
		}
		value.Write(m.Data)
	}
	if sum := sha256.Sum256(value.Bytes()); hex.EncodeToString(sum[:]) != o.sum {
		return nil, fmt.Errorf("%w: their checksum is another", errPieces)
	}
	return value.Bytes(), nil
}

// named returns the object that the key names before it is written. It is not
// asked for in buckets that were never seen to hold any.
func (b *Bucket) named(ctx context.Context, key string) *object {
	if !b.objects.Load() {
		return nil
	}
	m, err := b.near(ctx, b.subject(key))
	if err != nil || m == nil {
		return nil
	}
	o, err := parseObject(m.Header.Get(headerObject))
	if err != nil {
		return nil
	}
	return o
}

// remove removes an object, if any. What it misses is collected later.
func (b *Bucket) remove(ctx context.Context, o *object) {
	if o == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	if err := b.removePieces(ctx, o.id); err != nil {
		b.log.Debug("the pieces of a value are left for later", "error", err)
	}
}

func (b *Bucket) removePieces(ctx context.Context, id string) error {
	s, err := b.ensure(ctx)
	if err != nil {
		return err
	}
	return s.stream.Purge(ctx, jetstream.WithPurgeSubject(b.objectPieces(id)))
}

// Collect removes the pieces that no key names, once they are old enough for no
// write to be under way any more, and returns of how many values they were.
func (b *Bucket) Collect(ctx context.Context) (int, error) { return b.collect(ctx, orphanAge) }

func (b *Bucket) collect(ctx context.Context, age time.Duration) (int, error) {
	s, err := b.ensure(ctx)
	if err != nil {
		return 0, err
	}
	info, err := s.stream.Info(ctx, jetstream.WithSubjectFilter(b.pieces()))
	if err != nil {
		b.forget(err)
		return 0, fmt.Errorf("listing the pieces of values of bucket %s: %w", b.name, err)
	}
	objects := map[string]string{}
	for subject := range info.State.Subjects {
		objects[b.objectOf(subject)] = subject
	}
	if len(objects) > 0 {
		b.objects.Store(true)
	}
	removed := 0
	for id, subject := range objects {
		orphan, err := b.isOrphan(ctx, id, subject, info.TimeStamp.Add(-age))
		if err != nil {
			return removed, err
		}
		if !orphan {
			continue
		}
		if err := b.removePieces(ctx, id); err != nil {
			return removed, fmt.Errorf("removing the pieces of a value of bucket %s: %w", b.name, err)
		}
		removed++
	}
	if removed > 0 {
		b.log.Info("removed values that no key names any more", "values", removed)
	}
	return removed, nil
}

// isOrphan reports whether a piece was written before the time, and is of no
// key's value.
func (b *Bucket) isOrphan(ctx context.Context, id, subject string, before time.Time) (bool, error) {
	piece, err := b.last(ctx, subject)
	if err != nil || piece == nil || isMarker(piece.Header) || piece.Time.After(before) {
		return false, err
	}
	owner, err := b.last(ctx, b.subject(piece.Header.Get(headerKey)))
	if err != nil {
		return false, err
	}
	if owner == nil || isMarker(owner.Header) {
		return true, nil
	}
	o, err := parseObject(owner.Header.Get(headerObject))
	if err != nil {
		return false, nil //nolint:nilerr // a newer version's, and whose pieces are which nobody can tell
	}
	return o == nil || o.id != id, nil
}
