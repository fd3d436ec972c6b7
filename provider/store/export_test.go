package store

import (
	"encoding/binary"
	"time"

	"github.com/imagegate/imagegate/provider/report"
)

// Codec is what values are written with, of a provider of another version too.
type Codec struct{ c *codec }

// NewCodec returns the Codec of a provider that writes the format, for readers
// of oldest and later; zeros are this one's.
func NewCodec(format, oldest byte) (*Codec, error) {
	c, err := newCodec()
	if err == nil && format != 0 {
		c.format, c.oldest = format, oldest
	}
	return &Codec{c: c}, err
}

// Encode and Decode are those of the codec.
func (c *Codec) Encode(key string, scan *report.Scan) ([]byte, int, error) {
	return c.c.encode(key, scan)
}

func (c *Codec) Decode(key string, value []byte) (*report.Scan, error) {
	scan, _, err := c.c.decode(key, value)
	return scan, err
}

// Pack makes a value of any JSON, with a right checksum and the size claimed.
func (c *Codec) Pack(key string, text []byte, claimed int) []byte {
	value := make([]byte, headSize)
	copy(value, magic)
	value[4], value[5] = c.c.format, c.c.oldest
	binary.BigEndian.PutUint32(value[sizeAt:], uint32(claimed))
	value = c.c.compress.EncodeAll(text, value)
	copy(value[sumAt:], sum(key, value))
	return value
}

// ErrNewer is what Decode returns for a value that is for newer providers only.
var ErrNewer = errNewer

// MaxPlain is the most that the JSON of a report may have.
const MaxPlain = maxPlain

// UseCodec makes r a provider of another version.
func (r *Reports) UseCodec(c *Codec) { r.codec = c.c }

// DropOld is one look at the ages at the time, as made every ageEvery.
func (r *Reports) TooOld(now time.Time) (keys []string) {
	for _, old := range r.tooOld(now) {
		keys = append(keys, old.key)
	}
	return keys
}

// The times of the background's work.
const (
	RoomWait  = roomWait
	AgeEvery  = ageEvery
	TellEvery = tellEvery
)

// Cached is what the reports in memory are reckoned to take.
func (r *Reports) Cached() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cache.bytes()
}
