package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/turns"
)

// What is in the bucket, as JSON under keys that are hashes of names:
//
//	ask.<job>.<namespace>   a namespace wants the job done
//	lease.<group or job>    a replica does it, or has done it
//	member.<replica>        a replica is there, written again while it is
//
// A field that a replica does not know was written by a newer one and is left
// alone. Of a record of a newer version it knows by the key what it is about: a
// newer replica's lease stands while there is any such replica, and is in nobody's
// way when there is none any more. One that is damaged is as one of those.
const (
	version = 1

	askPrefix    = "ask."
	leasePrefix  = "lease."
	memberPrefix = "member."
)

// askRecord is a namespace's wish. Work holds names only, never a secret.
type askRecord struct {
	Version   int       `json:"v"`
	Group     string    `json:"group"`  // token
	Result    string    `json:"result"` // token
	Namespace string    `json:"namespace,omitempty"`
	Registry  string    `json:"registry,omitempty"`
	Asked     time.Time `json:"asked"`
	Seen      time.Time `json:"seen"` // when it was last asked for, about
	// By is the replica that wrote it last.
	By   string          `json:"by"`
	Work json.RawMessage `json:"work"`
	// Over says why it is taken off the queue without having been done.
	Over Reason `json:"over,omitempty"`
}

func (r *askRecord) share() turns.Share {
	return turns.Share{Namespace: r.Namespace, Registry: r.Registry}
}

// leaseRecord is a job that is being done by one replica and by no other.
type leaseRecord struct {
	Version   int    `json:"v"`
	Job       string `json:"job"`    // token
	Group     string `json:"group"`  // token
	Result    string `json:"result"` // token
	Holder    string `json:"holder"` // replica and incarnation
	Namespace string `json:"namespace,omitempty"`
	Registry  string `json:"registry,omitempty"`
	// Attempt counts from one, over all replicas that died with the job.
	Attempt int       `json:"attempt"`
	Last    string    `json:"last,omitempty"` // what the latest failed attempt said
	Began   time.Time `json:"began"`
	// Over is what came of it; its asks and the lease are removed then.
	Over *Outcome `json:"over,omitempty"`

	// foreign says that it cannot be read: all the rest but Group, which is then
	// what the key says, is empty.
	foreign bool
}

func (r *leaseRecord) share() turns.Share {
	return turns.Share{Namespace: r.Namespace, Registry: r.Registry}
}

// memberRecord is a replica.
type memberRecord struct {
	Version     int             `json:"v"`
	Incarnation string          `json:"incarnation"`
	Slots       int             `json:"slots"`
	PerRegistry int             `json:"perRegistry,omitempty"`
	Info        json.RawMessage `json:"info,omitempty"`
}

// token stands for a name in a key: names are as long as others like.
func token(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

func askKey(job, namespace string) string { return askPrefix + job + "." + token(namespace) }

// jobOf is the job's token in the key of an ask.
func jobOf(key string) string {
	job, _, _ := strings.Cut(strings.TrimPrefix(key, askPrefix), ".")
	return job
}

func encode(record any) []byte {
	b, err := json.Marshal(record)
	if err != nil {
		panic(fmt.Sprintf("encoding a queue record: %v", err)) // strings, numbers and valid JSON only
	}
	return b
}
