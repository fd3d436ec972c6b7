package store

import (
	"iter"
	"strings"
	"time"
)

// recordOverhead is about what an entry of a bucket takes on disk beside its key
// and value.
const recordOverhead = 256

// record is what is known of a stored report without reading it. There is one
// for each report of the bucket, so it is kept small.
type record struct {
	key      string
	revision uint64
	// size is what the report takes in the bucket.
	size int64
	// written is when it was, in seconds of the bucket's clock.
	written int64
	owner   *owner
	// before was read or written earlier, after later, of the same owner's.
	before, after *record
	// round is the watch that last told of it.
	round uint32
	// read says that it was read here and the others have not been told.
	read bool
	// bad says that this revision was looked at and is none that can be read.
	bad bool
	// aged says that it was found to be too old the last time ages were looked at.
	aged bool
}

// owner is a namespace with its reports in the order in which they were last
// read or written.
type owner struct {
	name          string
	bytes         int64
	first, latest *record
}

// index is all reports of the bucket, each on the account of the namespace that
// had it made. It is not safe for concurrent use.
type index struct {
	records map[string]*record
	owners  map[string]*owner
	bytes   int64
	// newest is the highest revision of any record.
	newest uint64
	// round counts the watches that have begun. Records of an earlier one may be
	// gone by now.
	round uint32
}

func newIndex() *index {
	return &index{records: map[string]*record{}, owners: map[string]*owner{}}
}

// begin says that all that is there will be told anew.
func (x *index) begin() { x.round++; x.newest = 0 }

// settle drops what was not told again since begin, and tells their keys.
func (x *index) settle() (gone []string) {
	for key, r := range x.records {
		if r.round != x.round {
			x.remove(r)
			gone = append(gone, key)
		}
	}
	return gone
}

// wrote notes a report, unless a later one of its key is known. It is false when
// nothing is new in that.
func (x *index) wrote(key, namespace string, revision uint64, size int, written time.Time) bool {
	r := x.records[key]
	if r != nil && r.round == x.round && r.revision >= revision {
		return false
	}
	same := r != nil && r.revision == revision
	if same {
		r.round, r.written = x.round, written.Unix()
	} else {
		if r != nil {
			x.remove(r)
		}
		// Copies: what is told may be a part of something larger.
		r = &record{key: strings.Clone(key), revision: revision, size: int64(size+len(key)) + recordOverhead, written: written.Unix(), round: x.round}
		x.records[r.key] = r
		x.bytes += r.size
		o := x.owners[namespace]
		if o == nil {
			o = &owner{name: strings.Clone(namespace)}
			x.owners[o.name] = o
		}
		o.add(r)
	}
	x.newest = max(x.newest, revision)
	return !same
}

func (x *index) remove(r *record) {
	delete(x.records, r.key)
	x.bytes -= r.size
	o := r.owner
	o.drop(r)
	if o.first == nil {
		delete(x.owners, o.name)
	}
}

// touch makes r the last of its owner's to go.
func (x *index) touch(r *record) {
	o := r.owner
	o.drop(r)
	o.add(r)
}

func (o *owner) add(r *record) {
	r.owner, r.before, r.after = o, o.latest, nil
	if o.latest != nil {
		o.latest.after = r
	} else {
		o.first = r
	}
	o.latest = r
	o.bytes += r.size
}

func (o *owner) drop(r *record) {
	if r.before != nil {
		r.before.after = r.after
	} else {
		o.first = r.after
	}
	if r.after != nil {
		r.after.before = r.before
	} else {
		o.latest = r.before
	}
	r.before, r.after = nil, nil
	o.bytes -= r.size
}

// victim is the report to go when there is too much: the least recently used of
// the owner that holds the most, but never what was written last, which would be
// made again at once. It is nil when there is nothing else.
func (x *index) victim() *record {
	var from *owner
	for _, o := range x.owners {
		if o.oldest(x.newest) == nil {
			continue
		}
		if from == nil || o.bytes > from.bytes || o.bytes == from.bytes && o.name < from.name {
			from = o
		}
	}
	if from == nil {
		return nil
	}
	return from.oldest(x.newest)
}

// oldest is the least recently used report but that of the revision.
func (o *owner) oldest(but uint64) *record {
	if o.first.revision == but {
		return o.first.after
	}
	return o.first
}

// all yields the records, of each owner in their order.
func (x *index) all() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		for _, o := range x.owners {
			for r := o.first; r != nil; r = r.after {
				if !yield(r) {
					return
				}
			}
		}
	}
}
