// Package stream keeps a bucket.Bucket in a JetStream stream: one message for each
// key, on the subject <prefix>.kv.<name>.<key>, the last one wins. It is what a
// NATS key-value bucket is too, but that its subjects begin with a word of ours:
// NATS has no wildcard for a part of a word, by which $KV.<bucket> could be allowed
// to us and not all buckets.
//
// It is built on the stream itself rather than on nats.go's KeyValue, which
// cannot say whether a write whose answer was lost was made, reads from replicas
// that are behind this process's own writes, and goes silent when the stream is
// made anew.
//
//   - A write carries an id in its message. When it is refused because the key
//     has changed, and what changed it bears the same id, the first attempt was
//     made and only its answer was lost.
//   - Values that do not fit into a message are cut into pieces, which are
//     messages of the same stream on <prefix>.obj.<name>.<object>.<n>; the key's message
//     names the object. Both count against the same limit. Pieces that no key
//     names (a crash in between, a race) are collected after a while.
//   - A deletion is a message too, a marker, which ends after a time of its own.
//     A watch that was away, or behind, for so long that it may have missed one
//     begins anew with Reset.
//   - A new stream begins at a sequence made of the time, so that a revision of
//     a stream that was lost is never one of its successor.
package stream
