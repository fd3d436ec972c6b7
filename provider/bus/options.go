package bus

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say where NATS is. One of External, or else the embedded server with
// or without Cluster.
type Options struct {
	// DataDir is the folder whose subfolder nats the embedded server keeps its
	// files in. One process at a time.
	DataDir string
	// MaxBytes bounds these files, MaxMemory what the server holds beside them;
	// zero is 8 GiB and 64 MiB.
	MaxBytes, MaxMemory int64
	// MinFree is how much of the disk is left to others: below it nothing is
	// written. Zero is 64 MiB.
	MinFree int64
	Sync    Sync
	// SyncEvery is how often files are synced to the disk; zero is 5 s.
	SyncEvery time.Duration

	// Cluster makes the embedded server one of several.
	Cluster *Cluster
	// External is a NATS elsewhere; no server is then embedded.
	External *External

	// Prefix precedes the names of streams and subjects; empty is imagegate.
	Prefix string
	// Log is told what happens; nil is nobody.
	Log *slog.Logger
	// Registerer is given the metrics; nil is nobody.
	Registerer prometheus.Registerer
}

// Sync says when files are synced to the disk.
type Sync string

// The settings of Sync; empty is SyncInterval.
const (
	// SyncInterval syncs every SyncEvery.
	SyncInterval Sync = "interval"
	// SyncAlways syncs before each write is acknowledged.
	SyncAlways Sync = "always"
)

// Cluster is this server's part in a cluster of embedded ones.
type Cluster struct {
	// Name is this server's, one of Peers. It has to stay the same as long as its
	// files do.
	Name string
	// Peers are all servers of the cluster, this one among them: the host:port,
	// by name, at which the others reach its routes. Their number is odd, and at
	// least three.
	Peers map[string]string
	// Listen is the host:port to take routes on; empty is the port of this
	// server's own entry in Peers, on all addresses.
	Listen string
	// ClientListen is the host:port for clients, other processes of the provider
	// that are no servers themselves; empty is none.
	ClientListen string
	// Clients are the names that a client's certificate may have (a DNS name or IP
	// address of its subject alternative names), beside those of Peers.
	Clients []string
	TLS     ServerTLS
}

// ServerTLS names the PEM files of a server of a cluster, which are followed. The
// certificate serves both sides of a route: its subject alternative names hold
// the host of this server in Peers, and its extended key usages both server and
// client.
type ServerTLS struct {
	CertFile, KeyFile string
	// CAFile signs the certificates of all peers and clients.
	CAFile string
}

// External is a NATS that somebody else runs.
type External struct {
	// URLs are nats:// or tls:// addresses, any of which will do.
	URLs []string
	// CredsFile holds a user's JWT and key, which say the account too.
	CredsFile string
	// UserFile and PasswordFile, or TokenFile, are the other ways to be let in.
	UserFile, PasswordFile, TokenFile string
	TLS                               ClientTLS
	// Domain is the JetStream domain; empty is the account's own.
	Domain string
	// Replicas is how many servers keep each bucket; zero asks the server: three
	// in a cluster that has as many, else one.
	Replicas int
}

// ClientTLS names the PEM files of a client, which are followed. All empty is TLS
// only if the URL or the server wants it, against the system's authorities.
type ClientTLS struct {
	CAFile            string
	CertFile, KeyFile string
}

// BucketOptions are one bucket's.
type BucketOptions struct {
	// MaxBytes bounds what is stored, with headers and all, about; zero is no bound
	// but the server's. At the bound Create and Put are refused; Update and Delete
	// are not, for which the stream takes as much again, up to 64 MiB.
	MaxBytes int64
	// MaxAge ends entries so old; zero is never.
	MaxAge time.Duration
	// MarkerTTL is how long an entry that was removed takes room, about 300 bytes,
	// to tell those of it who were away; who is for longer reads all anew. Zero is an
	// hour.
	MarkerTTL time.Duration
}
