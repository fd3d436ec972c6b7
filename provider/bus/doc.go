// Package bus is the way to what replicas of the provider know in common: NATS
// JetStream, run in one of three places behind one type.
//
//   - Embedded: a NATS server in this process that listens on nothing. For one
//     replica; what it knows is in files and survives a restart.
//   - Cluster: the embedded servers of an odd number of replicas are one cluster,
//     over mutual TLS. Each bucket is on three of them.
//   - External: a NATS that somebody else runs.
//
// # What is stored
//
// Each bucket is one JetStream stream, <prefix>_<name>, on subjects below
// <prefix>.kv and <prefix>.obj. A user of an external NATS has to be allowed to
// publish <prefix>.> and $JS.API.>, and to subscribe to _INBOX.>; NATS 2.11 is the
// least. Nothing else is made.
//
// # What a crash costs
//
// A write is acknowledged once it is in the operating system's hands (embedded),
// or on a majority of servers (cluster): the end of the process, by kill -9 too,
// loses none. Files are synced to the disk every few seconds only, unless Sync is
// SyncAlways: a power loss, or a crash of the kernel, may cost an embedded server
// the writes of that time, and a cluster those only if a majority of its machines
// went down at once. What is lost is made again: reports are scanned anew, and
// nothing reads as accepted because of it.
//
// A file that was damaged costs what was in it. It is said in the log, with the
// folder; a store that cannot be opened at all ends the start with an error that
// names the folder to remove.
package bus
