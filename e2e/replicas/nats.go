package replicas

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/imagegate/imagegate/e2e/process"
)

// NATS is a server of its own, with JetStream.
type NATS struct {
	// Addr is where it listens, Dir the folder of its files.
	Addr, Dir string

	spec process.Spec
	proc *process.Process
}

// StartNATS runs the program with its files below the fleet's folder.
func (f *Fleet) StartNATS(ctx context.Context, program string) (*NATS, error) {
	ports, err := process.FreePorts(1)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(f.o.Dir, "nats")
	n := &NATS{Addr: address(ports[0]), Dir: dir, spec: process.Spec{
		Name: "nats", Path: program, Dir: f.o.Dir, Logs: filepath.Join(f.o.Dir, "logs"),
		Args: []string{"--addr=127.0.0.1", fmt.Sprintf("--port=%d", ports[0]), "--jetstream", "--store_dir=" + dir},
	}}
	f.closers = append(f.closers, n.Kill)
	return n, n.Start(ctx)
}

// Start runs the server, again on the files that it had.
func (n *NATS) Start(ctx context.Context) (err error) {
	if n.proc, err = process.Start(n.spec); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return n.proc.Ready(ctx, func(ctx context.Context) error {
		c, err := nats.Connect("nats://"+n.Addr, nats.Timeout(time.Second))
		if err != nil {
			return err
		}
		defer c.Close()
		js, err := jetstream.New(c)
		if err != nil {
			return err
		}
		_, err = js.AccountInfo(ctx)
		return err
	})
}

// Kill ends the server as kill -9 does.
func (n *NATS) Kill() {
	if n.proc != nil {
		n.proc.Kill()
		n.proc = nil
	}
}

// External adds n providers that share an external NATS, each over a link of its
// own.
func (f *Fleet) External(n *NATS, providers int) (nodes []*Node, links []*Link, err error) {
	for i := range providers {
		link, err := NewLink(n.Addr)
		if err != nil {
			return nil, nil, err
		}
		f.closers = append(f.closers, link.Close)
		node, err := f.Add(fmt.Sprintf("replica-%d", i), All, Config{"url": "nats://" + link.Addr})
		if err != nil {
			return nil, nil, err
		}
		nodes, links = append(nodes, node), append(links, link)
	}
	return nodes, links, nil
}

// Members of a cluster are providers whose embedded NATS servers are one.
type Members struct {
	APIs, Workers []*Node

	f       *Fleet
	clients []string // addresses for clients
	to      map[string]map[string]*Link
	mine    map[string]*Link
}

// Cluster adds three api providers, whose embedded servers form a cluster, and
// workers, which are its clients.
func (f *Fleet) Cluster(workers int) (*Members, error) {
	const apis = 3
	ports, err := process.FreePorts(2 * apis)
	if err != nil {
		return nil, err
	}
	m := &Members{f: f, to: map[string]map[string]*Link{}, mine: map[string]*Link{}}
	name := func(i int) string { return fmt.Sprintf("api-%d", i) }
	link := func(port int) (*Link, error) {
		l, err := NewLink(address(port))
		if err == nil {
			f.closers = append(f.closers, l.Close)
		}
		return l, err
	}
	for i := range apis {
		// What the others are told of it, and what they go by from the start.
		if m.mine[name(i)], err = link(ports[i]); err != nil {
			return nil, err
		}
		m.clients = append(m.clients, address(ports[apis+i]))
	}
	for i := range apis {
		peers := map[string]string{}
		m.to[name(i)] = map[string]*Link{}
		for j := range apis {
			if j == i {
				peers[name(j)] = m.mine[name(j)].Addr
				continue
			}
			l, err := link(ports[j])
			if err != nil {
				return nil, err
			}
			m.to[name(i)][name(j)], peers[name(j)] = l, l.Addr
		}
		node, err := f.Add(name(i), API, f.member(name(i), address(ports[i]), m.clients[i], peers))
		if err != nil {
			return nil, err
		}
		m.APIs = append(m.APIs, node)
	}
	for i := range workers {
		node, err := f.Add(fmt.Sprintf("worker-%d", i), Worker, f.client(fmt.Sprintf("worker-%d", i), m.clients))
		if err != nil {
			return nil, err
		}
		m.Workers = append(m.Workers, node)
	}
	return m, nil
}

// Nodes are all of them.
func (m *Members) Nodes() []*Node { return append(append([]*Node{}, m.APIs...), m.Workers...) }

// Isolate cuts a server of the cluster off from the others.
func (m *Members) Isolate(name string) { m.each(name, (*Link).Cut) }

// Rejoin undoes Isolate.
func (m *Members) Rejoin(name string) { m.each(name, (*Link).Mend) }

func (m *Members) each(name string, do func(*Link)) {
	do(m.mine[name])
	for from, links := range m.to {
		for to, l := range links {
			if from == name || to == name {
				do(l)
			}
		}
	}
}

func (f *Fleet) member(name, listen, clients string, peers map[string]string) Config {
	tls := filepath.Join(f.o.Dir, name, "tls")
	return Config{"cluster": Config{
		"name": name, "listen": listen, "clientListen": clients, "peers": peers,
		"tls": Config{"certFile": tls + "/tls.crt", "keyFile": tls + "/tls.key", "caFile": tls + "/ca.crt"},
	}}
}

func (f *Fleet) client(name string, servers []string) Config {
	tls := filepath.Join(f.o.Dir, name, "tls")
	return Config{
		"url": urls("tls", servers),
		"tls": Config{"certFile": tls + "/tls.crt", "keyFile": tls + "/tls.key", "caFile": tls + "/ca.crt"},
	}
}

func urls(scheme string, addresses []string) string {
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = scheme + "://" + a
	}
	return strings.Join(list, ",")
}

// Leaders returns which server leads each stream of the cluster, by the JetStream
// API.
func (m *Members) Leaders(ctx context.Context) (map[string]string, error) {
	pair, err := m.f.authority.Issue("test")
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(m.f.authority.PEM)
	c, err := nats.Connect(urls("tls", m.clients), nats.Timeout(5*time.Second),
		nats.Secure(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{cert}}))
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	defer c.Close()
	js, err := jetstream.New(c)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	leaders := map[string]string{}
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		if info.Cluster != nil {
			leaders[info.Config.Name] = info.Cluster.Leader
		}
	}
	if err := list.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("list the cluster's streams: %w", err)
	}
	return leaders, nil
}

// Leader returns the node that leads the stream whose name ends in suffix.
func (m *Members) Leader(ctx context.Context, suffix string) (*Node, error) {
	leaders, err := m.Leaders(ctx)
	if err != nil {
		return nil, err
	}
	for stream, name := range maps.All(leaders) {
		if !strings.HasSuffix(stream, suffix) {
			continue
		}
		for _, n := range m.APIs {
			if n.Name == name {
				return n, nil
			}
		}
	}
	return nil, fmt.Errorf("no stream *%s with a leader among %v", suffix, leaders)
}
