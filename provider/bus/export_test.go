package bus

import (
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream is the bus's own.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// Server is the embedded one.
func (b *Bus) Server() *server.Server { return b.server.current.Load().Server }
