package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	defaultMaxBytes  = 8 << 30
	defaultMaxMemory = 64 << 20
	defaultMinFree   = 64 << 20
	defaultSyncEvery = 5 * time.Second
	// clusterReplicas is on how many servers of a cluster a bucket is: more cost
	// every write, and three survive the end of any one.
	clusterReplicas = 3
)

// complete sets the defaults and checks the rest.
func (o *Options) complete() error {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if !validName.MatchString(o.Prefix) {
		return fmt.Errorf("prefix %q: must be 1 to 32 letters, digits, '-' and '_'", o.Prefix)
	}
	if o.External != nil {
		if o.Cluster != nil {
			return errors.New("either a cluster or an external server")
		}
		return o.External.check()
	}
	if o.DataDir == "" {
		return errors.New("dataDir: must name a folder")
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return fmt.Errorf("dataDir: %w", err)
	}
	o.DataDir = dir
	if o.MaxBytes < 0 || o.MaxMemory < 0 || o.MinFree < 0 || o.SyncEvery < 0 {
		return errors.New("a limit is negative")
	}
	o.MaxBytes = orDefault(o.MaxBytes, defaultMaxBytes)
	o.MaxMemory = orDefault(o.MaxMemory, defaultMaxMemory)
	o.MinFree = orDefault(o.MinFree, defaultMinFree)
	o.SyncEvery = orDefault(o.SyncEvery, defaultSyncEvery)
	switch o.Sync {
	case "":
		o.Sync = SyncInterval
	case SyncInterval, SyncAlways:
	default:
		return fmt.Errorf("sync %q: must be %s or %s", o.Sync, SyncInterval, SyncAlways)
	}
	if o.Cluster != nil {
		c := *o.Cluster
		o.Cluster = &c
		return c.complete(o)
	}
	return nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (c *Cluster) complete(o *Options) error {
	if len(c.Peers) < 3 || len(c.Peers)%2 == 0 {
		return fmt.Errorf("cluster peers: there are %d, but an odd number of at least three is needed for a majority", len(c.Peers))
	}
	seen := map[string]string{}
	for name, address := range c.Peers {
		if !validServer(name) {
			return fmt.Errorf("cluster peer %q: a name has letters, digits, '-', '_' and no dots", name)
		}
		if host, port, err := splitAddress(address); err != nil || host == "" || port == 0 {
			return fmt.Errorf("cluster peer %s: %q must be host:port", name, address)
		}
		if other, ok := seen[address]; ok {
			return fmt.Errorf("cluster peers %s and %s have the same address", min(name, other), max(name, other))
		}
		seen[address] = name
	}
	own, ok := c.Peers[c.Name]
	if !ok {
		return fmt.Errorf("cluster name %q: is none of the peers", c.Name)
	}
	if c.Listen == "" {
		_, port, _ := net.SplitHostPort(own)
		c.Listen = net.JoinHostPort("", port)
	}
	if _, _, err := splitAddress(c.Listen); err != nil {
		return fmt.Errorf("cluster listen: %w", err)
	}
	if c.ClientListen != "" {
		if _, _, err := splitAddress(c.ClientListen); err != nil {
			return fmt.Errorf("cluster clientListen: %w", err)
		}
	}
	if c.TLS.CertFile == "" || c.TLS.KeyFile == "" || c.TLS.CAFile == "" {
		return errors.New("cluster tls: certFile, keyFile and caFile must be set")
	}
	o.Cluster = c
	return nil
}

var validPeer = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func validServer(name string) bool { return len(name) <= 63 && validPeer.MatchString(name) }

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %s: the port is none", address)
	}
	return host, port, nil
}

func (e *External) check() error {
	if len(e.URLs) == 0 {
		return errors.New("url: must be set")
	}
	for _, s := range e.URLs {
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "nats" && u.Scheme != "tls") || u.Hostname() == "" {
			return fmt.Errorf("url %q: must be nats://host:port or tls://host:port", redact(s))
		}
		if u.User != nil {
			return fmt.Errorf("url %q: credentials belong into a file", redact(s))
		}
	}
	ways := 0
	for _, file := range []string{e.CredsFile, e.UserFile, e.TokenFile} {
		if file != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("one of credsFile, userFile and tokenFile")
	case (e.UserFile == "") != (e.PasswordFile == ""):
		return errors.New("userFile and passwordFile must be set together")
	case (e.TLS.CertFile == "") != (e.TLS.KeyFile == ""):
		return errors.New("tls: certFile and keyFile must be set together")
	case e.Replicas != 0 && e.Replicas != 1 && e.Replicas != 3 && e.Replicas != 5: // two are lost with either
		return fmt.Errorf("replicas: %d must be 1, 3 or 5, or 0 to ask the server", e.Replicas)
	}
	return nil
}

// redact takes out what may be a password, or a token in the place of a user, also
// of what is no URL.
func redact(s string) string {
	if i := strings.LastIndex(s, "@"); i >= 0 {
		return "...@" + s[i+1:]
	}
	return s
}
