package bus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bus"
	"github.com/imagegate/imagegate/provider/tlsfiles/tlstest"
)

// writer writes to a bucket all the time, as a replica would, and knows what was
// acknowledged.
type writer struct {
	t    *testing.T
	stop chan struct{}
	wg   sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]string
	longest      time.Duration // between two acknowledgements
	refused      int
}

func write(t *testing.T, name string, b bucket.Bucket) *writer {
	w := &writer{t: t, stop: make(chan struct{}), acknowledged: map[string]string{}}
	w.wg.Go(func() {
		last := time.Now()
		for i := 0; ; i++ {
			select {
			case <-w.stop:
				return
			default:
			}
			key, value := fmt.Sprintf("%s.%d", name, i%200), fmt.Sprint(i)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
			_, err := b.Put(ctx, key, []byte(value), nil)
			cancel()
			w.mu.Lock()
			if err == nil {
				w.acknowledged[key] = value
				w.longest = max(w.longest, time.Since(last))
				last = time.Now()
			} else {
				delete(w.acknowledged, key) // nobody knows
				w.refused++
			}
			w.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
	})
	t.Cleanup(w.end)
	return w
}

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acknowledged)
}

func (w *writer) end() {
	w.mu.Lock()
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// check reads what was acknowledged.
func (w *writer) check(b bucket.Bucket) {
	w.t.Helper()
	w.end()
	if w.refused > 0 {
		w.t.Errorf("%d writes were not acknowledged within %s", w.refused, patience)
	}
	for key, value := range w.acknowledged {
		e, err := b.Get(within(w.t), key)
		if err != nil || e == nil || string(e.Value) != value {
			w.t.Fatalf("%s: %v, %v, want %q", key, e, err, value)
		}
	}
	w.t.Logf("%d keys, the longest time between two acknowledgements was %s", len(w.acknowledged), w.longest.Round(time.Millisecond))
}

// mirror is what a watch makes of a bucket.
type mirror struct {
	mu     sync.Mutex
	values map[string]string
	resets int
	last   uint64
	cancel context.CancelFunc
	done   chan struct{}
}

func reflect(t *testing.T, b bucket.Bucket) *mirror {
	m := &mirror{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	m.cancel = cancel
	go func() {
		defer close(m.done)
		_ = b.Watch(ctx, bucket.WatchOptions{}, func(e bucket.Event) {
			m.mu.Lock()
			defer m.mu.Unlock()
			switch e.Kind {
			case bucket.Reset:
				m.values, m.last = map[string]string{}, 0
				m.resets++
			case bucket.Wrote:
				m.values[e.Entry.Key] = string(e.Entry.Value)
			case bucket.Deleted:
				delete(m.values, e.Entry.Key)
			case bucket.Synced:
			}
			if e.Entry.Revision != 0 {
				if e.Entry.Revision <= m.last {
					t.Errorf("revision %d was told after %d", e.Entry.Revision, m.last)
				}
				m.last = e.Entry.Revision
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-m.done
	})
	return m
}

// wants waits until the mirror shows the values.
func (m *mirror) wants(t *testing.T, what string, want map[string]string) {
	t.Helper()
	eventually(t, what+": the watch sees what was written", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for key, value := range want {
			if m.values[key] != value {
				return false
			}
		}
		return true
	})
}

func (m *mirror) began() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resets
}

// workerOptions are those of a process that is no server of the cluster.
func workerOptions(t *testing.T, c *cluster, clients []string) bus.Options {
	t.Helper()
	dir := c.authority.Directory(t, "worker")
	var urls []string
	for _, address := range clients {
		urls = append(urls, "tls://"+address)
	}
	return bus.Options{External: &bus.External{URLs: urls, TLS: bus.ClientTLS{
		CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
	}}}
}

// leader is the server that leads a bucket's stream, and all that have it.
func leader(t *testing.T, b *bus.Bus, name string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := b.JetStream().Stream(ctx, "imagegate_"+name)
	if err != nil || s.CachedInfo().Cluster == nil {
		return "", 0
	}
	return s.CachedInfo().Cluster.Leader, 1 + len(s.CachedInfo().Cluster.Replicas)
}

// TestClusterSurvivesKills: three processes are a cluster. The one that leads the
// stream is killed, then a follower, with kill -9; then each is restarted in
// order. Nothing that was acknowledged is lost, and watches see all of it.
func TestClusterSurvivesKills(t *testing.T) {
	t.Parallel()
	c := clusterOptions(t, 3)
	var clients []string
	processes := map[string]*process{}
	for i := range c.options {
		cl := c.options[i].Cluster
		cl.ClientListen = fmt.Sprintf("127.0.0.1:%d", freePort(t))
		clients = append(clients, cl.ClientListen)
		processes[cl.Name] = run(t, order{Options: c.options[i]})
	}
	restart := func(name string) {
		for i := range c.options {
			if c.options[i].Cluster.Name == name {
				processes[name] = run(t, order{Options: c.options[i]})
			}
		}
	}
	worker, _ := open(t, workerOptions(t, c, clients))
	other, _ := open(t, workerOptions(t, c, clients))
	ready(t, worker)
	k, k2 := bucketOf(t, worker, "reports", bus.BucketOptions{}), bucketOf(t, other, "reports", bus.BucketOptions{})
	put(t, k, "first", "1")
	m := reflect(t, k2)
	w := write(t, "k", k)
	progress := func() {
		t.Helper()
		key := unique()
		put(t, k, key, "x")
		m.wants(t, key, map[string]string{key: "x"})
	}
	eventually(t, "there are writes", func() bool { return w.count() > 50 })

	name, servers := leader(t, worker, "reports")
	if servers != 3 {
		t.Fatalf("the bucket is on %d servers", servers)
	}
	processes[name].kill()
	progress()
	restart(name)
	whole := func() bool { _, n := leader(t, worker, "reports"); return n == 3 && allCurrent(t, worker) }
	eventually(t, "the killed one has caught up", whole)

	for _, p := range []string{"node-0", "node-1", "node-2"} {
		if now, _ := leader(t, worker, "reports"); now != p {
			processes[p].kill()
			progress()
			restart(p)
			eventually(t, "the killed one has caught up", whole)
			break
		}
	}
	for _, p := range []string{"node-0", "node-1", "node-2"} {
		processes[p].end()
		progress()
		restart(p)
		eventually(t, "the restarted one has caught up", whole)
	}
	w.end()
	m.wants(t, "at the end", w.acknowledged)
	w.check(k2)
	if n := m.began(); n != 1 {
		t.Errorf("the watch began %d times", n)
	}
}

// allCurrent reports whether each copy of the bucket is up to date.
func allCurrent(t *testing.T, b *bus.Bus) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := b.JetStream().Stream(ctx, "imagegate_reports")
	if err != nil || s.CachedInfo().Cluster == nil || s.CachedInfo().Cluster.Leader == "" {
		return false
	}
	for _, r := range s.CachedInfo().Cluster.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return true
}

// TestClusterWaits: a server that starts before the others does not fail, and
// says what it waits for.
func TestClusterWaits(t *testing.T) {
	t.Parallel()
	c := clusterOptions(t, 3)
	held, err := net.Listen("tcp", c.options[0].Cluster.Listen)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Open(t.Context(), c.options[0]); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("with its port in use: %v", err)
	}
	_ = held.Close()
	first, log := open(t, c.options[0])
	log.has(t, "waiting for servers of the NATS cluster")
	eventually(t, "it says which are missing", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		err := first.Ready(ctx)
		return err != nil && strings.Contains(err.Error(), "2 of 3 servers of the cluster are missing: node-1, node-2")
	})
	k := bucketOf(t, first, "reports", bus.BucketOptions{})
	written := make(chan error, 1)
	go func() {
		_, err := k.Put(within(t), "a", []byte("1"), nil)
		written <- err
	}()
	second, _ := open(t, c.options[1])
	log.has(t, "waiting for servers of the NATS cluster\" missing=[node-2]")
	third, _ := open(t, c.options[2])
	ready(t, third)
	if err := <-written; err != nil {
		t.Errorf("a write that waited for the cluster: %v", err)
	}
	wantValue(t, bucketOf(t, second, "reports", bus.BucketOptions{}), "a", "1")
	wantValue(t, bucketOf(t, third, "reports", bus.BucketOptions{}), "a", "1")
	log.has(t, "all servers of the NATS cluster are here")
}

// TestPartition: one of three is cut off. The others go on; it says why it cannot
// write, and catches up when it is back.
func TestPartition(t *testing.T) {
	t.Parallel()
	c := clusterOptions(t, 3)
	listen := make([]string, 3)
	for i := range listen {
		listen[i] = c.options[i].Cluster.Listen
	}
	// All that goes between the first and the others goes through these. The
	// others advertise to it what leads nowhere, lest it learns of a way around.
	in, to1, to2 := newProxy(t, listen[0]), newProxy(t, listen[1]), newProxy(t, listen[2])
	nowhere := func(address string) string { return strings.Replace(address, "127.0.0.1", "127.0.0.2", 1) }
	c.options[0].Cluster.Peers = map[string]string{"node-0": in.address(), "node-1": to1.address(), "node-2": to2.address()}
	c.options[1].Cluster.Peers = map[string]string{"node-0": in.address(), "node-1": nowhere(listen[1]), "node-2": listen[2]}
	c.options[2].Cluster.Peers = map[string]string{"node-0": in.address(), "node-1": listen[1], "node-2": nowhere(listen[2])}
	var buses []*bus.Bus
	for _, o := range c.options {
		b, _ := open(t, o)
		buses = append(buses, b)
	}
	var buckets []bucket.Bucket
	for _, b := range buses {
		ready(t, b)
		buckets = append(buckets, bucketOf(t, b, "reports", bus.BucketOptions{}))
	}
	put(t, buckets[0], "before", "1")
	eventually(t, "all copies are current", func() bool { return allCurrent(t, buses[1]) })
	m := reflect(t, buckets[0])
	m.wants(t, "before", map[string]string{"before": "1"})
	w := write(t, "k", buckets[1])
	eventually(t, "there are writes", func() bool { return w.count() > 20 })

	links := []*proxy{in, to1, to2}
	for _, l := range links {
		l.cut.Store(true)
	}
	// The stream may have been led by the one that is cut off.
	put(t, buckets[2], "meanwhile", "2")
	wantValue(t, buckets[1], "meanwhile", "2")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	_, err := buckets[0].Put(ctx, "alone", nil, nil)
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, bucket.ErrChanged) || errors.Is(err, bucket.ErrFull) {
		t.Errorf("a write of the one that is cut off: %v", err)
	}
	eventually(t, "the one that is cut off says so", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := buses[0].Ready(ctx)
		return err != nil && strings.Contains(err.Error(), "node-1, node-2")
	})
	wantValue(t, buckets[0], "before", "1") // what it has is read

	for _, l := range links {
		l.cut.Store(false)
		l.hangUp()
	}
	ready(t, buses[0])
	put(t, buckets[0], "after", "3")
	w.end()
	m.wants(t, "after the partition", w.acknowledged)
	m.wants(t, "after the partition", map[string]string{"before": "1", "meanwhile": "2", "after": "3"})
	w.check(buckets[2])
}

// TestClusterCertificates: certificates and their authority are replaced while
// there are writes; a stranger's is refused by both ports.
func TestClusterCertificates(t *testing.T) {
	t.Parallel()
	c := clusterOptions(t, 3)
	clients := make([]string, 3)
	for i := range c.options {
		clients[i] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
		c.options[i].Cluster.ClientListen = clients[i]
		b, log := open(t, c.options[i])
		c.buses, c.logs = append(c.buses, b), append(c.logs, log)
	}
	for _, b := range c.buses {
		ready(t, b)
	}
	wo := workerOptions(t, c, clients)
	worker, _ := open(t, wo)
	ready(t, worker)
	k := bucketOf(t, worker, "reports", bus.BucketOptions{})
	w := write(t, "k", k)

	// As a careful rotation does it: both authorities, new certificates, the new
	// authority alone.
	second := tlstest.NewCA(t, "another")
	dirs := []string{filepath.Dir(wo.External.TLS.CAFile)}
	for _, o := range c.options {
		dirs = append(dirs, filepath.Dir(o.Cluster.TLS.CAFile))
	}
	place := func(dir, name string, content []byte) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(file+".new", content, 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	loaded := func(n int) {
		t.Helper()
		for _, l := range c.logs {
			eventually(t, "files are loaded", func() bool { return strings.Count(l.String(), "loaded TLS files") >= n })
		}
	}
	loaded(2)
	for _, dir := range dirs {
		place(dir, "ca.crt", append(append([]byte{}, c.authority.PEM...), second.PEM...))
	}
	loaded(3)
	for _, dir := range dirs {
		cert, key := second.Issue(t, "new")
		place(dir, "tls.crt", cert)
		place(dir, "tls.key", key)
	}
	loaded(4)
	for _, dir := range dirs {
		place(dir, "ca.crt", second.PEM)
	}
	loaded(5)
	old := w.count()

	// A server that comes back finds its way with the new ones.
	closeBus(t, c.buses[1])
	b, _ := open(t, c.options[1])
	ready(t, b)
	fresh, _ := open(t, wo)
	ready(t, fresh)
	wantValue(t, bucketOf(t, fresh, "reports", bus.BucketOptions{}), "k.0", func() string {
		w.end()
		return w.acknowledged["k.0"]
	}())
	if w.count() < old {
		t.Error("writes have stopped")
	}
	w.check(bucketOf(t, b, "reports", bus.BucketOptions{}))

	// One of the old authority, one of another, one for another name, and none at
	// all.
	named := t.TempDir()
	cert, key := second.IssueNamed(t, "elsewhere.example")
	place(named, "tls.crt", cert)
	place(named, "tls.key", key)
	for name, dir := range map[string]string{
		"of the old authority":  c.authority.Directory(t, "old"),
		"of an other authority": tlstest.NewCA(t, "stranger").Directory(t, "stranger"),
		"for another name":      named,
	} {
		so := bus.Options{External: &bus.External{URLs: []string{"tls://" + clients[0]}, TLS: bus.ClientTLS{
			CAFile: wo.External.TLS.CAFile, CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"),
		}}}
		stranger, _ := open(t, so)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := stranger.Ready(ctx); err == nil {
			t.Errorf("a client with a certificate %s is let in", name)
		}
		cancel()
	}
	conn, err := net.Dial("tcp", c.options[0].Cluster.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = conn.Write([]byte("INFO {\"server_id\":\"x\",\"name\":\"x\",\"cluster\":\"imagegate\"}\r\nCONNECT {}\r\nPING\r\n"))
	buffer := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buffer)
		if strings.Contains(string(buffer[:n]), "PONG") {
			t.Error("a route without TLS is served")
		}
		if err != nil {
			break
		}
	}
}
