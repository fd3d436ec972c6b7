package bus_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bus"
	"github.com/imagegate/imagegate/provider/tlsfiles/tlstest"
)

// patience is for what must happen; nothing is measured by it.
const patience = 60 * time.Second

// logged is a log that tests look into.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) has(t *testing.T, want string) {
	t.Helper()
	eventually(t, "the log says "+want, func() bool { return strings.Contains(l.String(), want) })
}

func (l *logged) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// open opens a bus that is closed with the test. What it logs is printed when the
// test has failed.
func open(t *testing.T, o bus.Options) (*bus.Bus, *logged) {
	t.Helper()
	log := &logged{}
	o.Log = log.logger()
	b, err := bus.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closeBus(t, b)
		if t.Failed() {
			t.Logf("the log:\n%s", log)
		}
	})
	return b, log
}

func closeBus(t *testing.T, b *bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Error(err)
	}
}

func ready(t *testing.T, b *bus.Bus) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err = b.Ready(ctx)
		cancel()
		if err == nil {
			return
		}
	}
	t.Fatalf("never ready: %v", err)
}

func bucketOf(t *testing.T, b *bus.Bus, name string, o bus.BucketOptions) bucket.Bucket {
	t.Helper()
	k, err := b.Bucket(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func put(t *testing.T, b bucket.Bucket, key, value string) uint64 {
	t.Helper()
	r, err := b.Put(within(t), key, []byte(value), nil)
	if err != nil {
		t.Fatalf("Put %s: %v", key, err)
	}
	return r
}

func wantValue(t *testing.T, b bucket.Bucket, key, want string) {
	t.Helper()
	e, err := b.Get(within(t), key)
	if err != nil || e == nil || string(e.Value) != want {
		t.Fatalf("Get %s: %v, %v, want %q", key, e, err, want)
	}
}

var names atomic.Int64

// unique is a bucket name of its own for each test.
func unique() string { return fmt.Sprintf("b%d", names.Add(1)) }

var ports atomic.Int64

// freePort returns one that nobody listens on, below those that the system gives
// to connections, and to nobody else in this process.
func freePort(t testing.TB) int {
	t.Helper()
	ports.CompareAndSwap(0, int64(20000+os.Getpid()*97%12000))
	for range 600 {
		port := ports.Add(1)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = l.Close()
			return int(port)
		}
	}
	t.Fatal("no port is free")
	return 0
}

// cluster is one of embedded servers, each with a folder of its own.
type cluster struct {
	authority *tlstest.CA
	options   []bus.Options
	buses     []*bus.Bus
	logs      []*logged
}

func serverTLS(dir string) bus.ServerTLS {
	return bus.ServerTLS{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"), CAFile: filepath.Join(dir, "ca.crt")}
}

func clusterOptions(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{authority: tlstest.NewCA(t, "nats")}
	peers := map[string]string{}
	for i := range n {
		peers[fmt.Sprintf("node-%d", i)] = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	}
	for i := range n {
		name := fmt.Sprintf("node-%d", i)
		c.options = append(c.options, bus.Options{DataDir: t.TempDir(), Cluster: &bus.Cluster{
			Name: name, Peers: peers, Listen: peers[name], TLS: serverTLS(c.authority.Directory(t, name)),
		}})
	}
	return c
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := clusterOptions(t, 3)
	for _, o := range c.options {
		b, log := open(t, o)
		c.buses, c.logs = append(c.buses, b), append(c.logs, log)
	}
	for _, b := range c.buses {
		ready(t, b)
	}
	return c
}

// natsServer is one that is not ours.
func natsServer(t testing.TB, dir string, port int, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{ServerName: "external", Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server has not started")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

func external(s *server.Server) bus.Options {
	return bus.Options{External: &bus.External{URLs: []string{s.ClientURL()}}}
}

// TestMain fails when anything is left running after the tests.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := child(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// They wait for elections rather than for processors.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(20 * time.Millisecond)
	}
	if after := runtime.NumGoroutine(); code == 0 && after > before {
		stacks := make([]byte, 1<<20)
		fmt.Printf("%d goroutines are left of %d:\n%s\n", after, before, stacks[:runtime.Stack(stacks, true)])
		code = 1
	}
	os.Exit(code)
}
