package bus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/imagegate/imagegate/provider/bucket"
	"github.com/imagegate/imagegate/provider/bus"
)

// TestSmallMessages: a server that takes small messages only takes values of any
// size all the same.
func TestSmallMessages(t *testing.T) {
	s := natsServer(t, t.TempDir(), -1, func(o *server.Options) { o.MaxPayload = 96 << 10 })
	b, _ := open(t, external(s))
	conform(t, b)
}

// TestServerRestarts: with its files, nothing has happened; without, the bucket is
// made anew, and watches are told so.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePort(t)
	start := func() *server.Server { return natsServer(t, dir, port, nil) }
	stop := func(s *server.Server) {
		s.Shutdown()
		s.WaitForShutdown()
	}
	s := start()
	registry := prometheus.NewPedanticRegistry()
	o := external(s)
	o.Registerer = registry
	b, _ := open(t, o)
	k := bucketOf(t, b, "reports", bus.BucketOptions{})
	m := reflect(t, k)
	put(t, k, "a", "1")
	m.wants(t, "before", map[string]string{"a": "1"})
	if got := b.State(); !got.Connected || got.Err != nil || got.Place != s.ClientURL() {
		t.Errorf("state %+v", got)
	}

	stop(s)
	eventually(t, "the state says that it is away", func() bool { return !b.State().Connected })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	if _, err := k.Put(ctx, "b", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Put while it is away: %v", err)
	}
	if err := b.Ready(ctx); err == nil || !strings.Contains(err.Error(), "not connected to "+s.ClientURL()) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Ready while it is away: %v", err)
	}
	cancel()
	const metrics = `
# HELP imagegate_nats_connected 1 while there is a connection to NATS.
# TYPE imagegate_nats_connected gauge
imagegate_nats_connected{place="external"} %d
# HELP imagegate_nats_disconnects_total How often the connection to NATS was lost.
# TYPE imagegate_nats_disconnects_total counter
imagegate_nats_disconnects_total{place="external"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(metrics, 0))); err != nil {
		t.Error(err)
	}
	waits := make(chan error, 1)
	go func() {
		_, err := k.Put(within(t), "waited", []byte("2"), nil)
		waits <- err
	}()
	s = start()
	if err := <-waits; err != nil {
		t.Errorf("a write that waited: %v", err)
	}
	m.wants(t, "after a restart", map[string]string{"a": "1", "waited": "2"})
	last := put(t, k, "b", "3")
	m.wants(t, "after a restart", map[string]string{"b": "3"})
	if n := m.began(); n != 1 {
		t.Errorf("the watch began %d times", n)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(fmt.Sprintf(metrics, 1))); err != nil {
		t.Error(err)
	}

	stop(s)
	if err := os.RemoveAll(filepath.Join(dir, "jetstream")); err != nil {
		t.Fatal(err)
	}
	start()
	if r := put(t, k, "c", "4"); r <= last {
		t.Errorf("revision %d after %d", r, last)
	}
	if _, err := k.Update(within(t), "b", nil, last); !errors.Is(err, bucket.ErrChanged) {
		t.Errorf("Update of what was lost: %v", err)
	}
	if e, err := k.Get(within(t), "a"); e != nil || err != nil {
		t.Errorf("what was lost: %v, %v", e, err)
	}
	eventually(t, "the watch has begun anew", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.resets == 2 && len(m.values) == 1 && m.values["c"] == "4"
	})

	// Deleted by somebody, and made anew while the connection is up.
	if err := b.JetStream().DeleteStream(within(t), "imagegate_reports"); err != nil {
		t.Fatal(err)
	}
	put(t, k, "d", "5")
	eventually(t, "the watch has begun anew", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.resets == 3 && len(m.values) == 1 && m.values["d"] == "5"
	})
	closeBus(t, b)
	if got, err := registry.Gather(); err != nil || len(got) != 0 {
		t.Errorf("metrics after the end: %v, %v", got, err)
	}
}

// TestServerComesLater: the start does not fail, nor does it wait.
func TestServerComesLater(t *testing.T) {
	port := freePort(t)
	b, log := open(t, bus.Options{External: &bus.External{URLs: []string{fmt.Sprintf("nats://127.0.0.1:%d", port)}}})
	log.has(t, "NATS does not answer yet")
	if err := b.Ready(within(t)); err == nil {
		t.Error("it is ready")
	}
	m := reflect(t, bucketOf(t, b, "reports", bus.BucketOptions{}))
	natsServer(t, t.TempDir(), port, nil)
	ready(t, b)
	put(t, bucketOf(t, b, "reports", bus.BucketOptions{}), "a", "1")
	m.wants(t, "later", map[string]string{"a": "1"})
}

// TestLostAnswers: writes whose answers are lost are sent again, and are what they
// were: made once, and nobody else's.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	s := natsServer(t, t.TempDir(), -1, nil)
	p := newProxy(t, s.Addr().String())
	b, _ := open(t, bus.Options{External: &bus.External{URLs: []string{"nats://" + p.address()}}})
	direct, _ := open(t, external(s))
	k, other := bucketOf(t, b, "reports", bus.BucketOptions{}), bucketOf(t, direct, "reports", bus.BucketOptions{})
	put(t, k, "warm", "")

	// lose has the answers to what is asked dropped until the write is seen by
	// others, and the connection ended.
	lose := func(made func() bool, write func() error) {
		t.Helper()
		p.deaf.Store(true)
		done := make(chan error, 1)
		go func() { done <- write() }()
		eventually(t, "the write is made", made)
		p.deaf.Store(false)
		p.hangUp()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	seen := func(key, value string) func() bool {
		return func() bool {
			e, err := other.Get(within(t), key)
			return err == nil && e != nil && string(e.Value) == value
		}
	}
	var created, updated uint64
	lose(seen("k", "created"), func() (err error) {
		created, err = k.Create(within(t), "k", []byte("created"))
		return err
	})
	lose(seen("k", "updated"), func() (err error) {
		updated, err = k.Update(within(t), "k", []byte("updated"), created)
		return err
	})
	if e, err := k.Get(within(t), "k"); err != nil || e == nil || e.Revision != updated || string(e.Value) != "updated" {
		t.Fatalf("%v, %v, want revision %d", e, err, updated)
	}
	lose(func() bool {
		e, err := other.Get(within(t), "k")
		return err == nil && e == nil
	}, func() error { return k.Delete(within(t), "k", updated) })

	var first uint64
	lose(seen("k", "put"), func() (err error) {
		first, err = k.Put(within(t), "k", []byte("put"), nil)
		return err
	})
	if e, err := other.Get(within(t), "k"); err != nil || e == nil || e.Revision != first {
		t.Errorf("a Put was made twice: %v, %v, first at %d", e, err, first)
	}

	// One that was overtaken meanwhile does not undo what came after it.
	p.deaf.Store(true)
	done := make(chan error, 1)
	go func() {
		_, err := k.Put(within(t), "o", []byte("early"), nil)
		done <- err
	}()
	eventually(t, "the write is made", seen("o", "early"))
	put(t, other, "o", "late")
	p.deaf.Store(false)
	p.hangUp()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantValue(t, other, "o", "late")
}

// TestCredentials: each way to be let in, taken from its files whenever a
// connection is made.
func TestCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	accounts := func(o *server.Options) {
		a := server.NewAccount("team")
		o.Accounts = []*server.Account{a}
		o.Users = []*server.User{{Username: "me", Password: "right", Account: a}}
		o.NoSystemAccount = false
	}
	t.Run("user", func(t *testing.T) {
		s := natsServer(t, t.TempDir(), -1, accounts)
		a, err := s.LookupAccount("team")
		if err != nil {
			t.Fatal(err)
		}
		if err := a.EnableJetStream(nil, nil); err != nil {
			t.Fatal(err)
		}
		o := external(s)
		o.External.UserFile, o.External.PasswordFile = file("user", "me\n"), file("password", "wrong\n")
		b, log := open(t, o)
		time.Sleep(500 * time.Millisecond) // it is refused more than once
		if err := b.Ready(within(t)); err == nil || !strings.Contains(err.Error(), "Authorization Violation") {
			t.Errorf("Ready: %v", err)
		}
		file("password", "right\n")
		ready(t, b)
		put(t, bucketOf(t, b, "reports", bus.BucketOptions{}), "a", "1")
		if strings.Contains(log.String(), "right") || strings.Contains(log.String(), "wrong") {
			t.Errorf("the log has a password:\n%s", log)
		}
	})
	t.Run("token", func(t *testing.T) {
		s := natsServer(t, t.TempDir(), -1, func(o *server.Options) { o.Authorization = "s3cret" })
		o := external(s)
		o.External.TokenFile = file("token", "s3cret\n")
		b, _ := open(t, o)
		ready(t, b)
	})
	t.Run("creds", func(t *testing.T) {
		key := func(pair nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
			if err != nil {
				t.Fatal(err)
			}
			public, err := pair.PublicKey()
			if err != nil {
				t.Fatal(err)
			}
			return pair, public
		}
		operator, operatorID := key(nkeys.CreateOperator())
		account, accountID := key(nkeys.CreateAccount())
		system, systemID := key(nkeys.CreateAccount())
		user, userID := key(nkeys.CreateUser())
		_ = system
		must := func(s string, err error) string {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		oc := jwt.NewOperatorClaims(operatorID)
		ac := jwt.NewAccountClaims(accountID)
		ac.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: 64 << 20, Streams: 4, Consumer: -1}
		uc := jwt.NewUserClaims(userID)
		// What the documentation says that an account needs, and no more.
		uc.Pub.Allow.Add("imagegate.>", "$JS.API.>")
		uc.Sub.Allow.Add("_INBOX.>")
		resolver := &server.MemAccResolver{}
		if err := errors.Join(resolver.Store(accountID, must(ac.Encode(operator))), resolver.Store(systemID, must(jwt.NewAccountClaims(systemID).Encode(operator)))); err != nil {
			t.Fatal(err)
		}
		claims, err := jwt.DecodeOperatorClaims(must(oc.Encode(operator)))
		if err != nil {
			t.Fatal(err)
		}
		s := natsServer(t, t.TempDir(), -1, func(o *server.Options) {
			o.TrustedOperators, o.AccountResolver, o.SystemAccount = []*jwt.OperatorClaims{claims}, resolver, systemID
		})
		seed, err := user.Seed()
		if err != nil {
			t.Fatal(err)
		}
		creds, err := jwt.FormatUserConfig(must(uc.Encode(account)), seed)
		if err != nil {
			t.Fatal(err)
		}
		o := external(s)
		o.External.CredsFile = file("user.creds", string(creds))
		b, log := open(t, o)
		ready(t, b)
		k := bucketOf(t, b, "reports", bus.BucketOptions{MaxBytes: 16 << 20})
		m := reflect(t, k)
		put(t, k, "a", strings.Repeat("x", 3<<20))
		m.wants(t, "with permissions", map[string]string{"a": strings.Repeat("x", 3<<20)})
		if err := k.Delete(within(t), "a", 0); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), "Permissions") {
			t.Errorf("a permission is missing:\n%s", log)
		}
		// More than the account may store is said, and is no silence.
		large := bucketOf(t, b, "large", bus.BucketOptions{MaxBytes: 1 << 30})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := large.Put(ctx, "a", nil, nil); err == nil || !strings.Contains(err.Error(), "insufficient storage resources") && !strings.Contains(err.Error(), "maximum") && !strings.Contains(err.Error(), "exceeded") {
			t.Errorf("a bucket beyond the account's limit: %v", err)
		}
	})
}

// TestLimits: a bucket that is full says so and is emptied all the same; other
// limits are given to what is there; age ends entries, and watches are told.
func TestLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, _ := open(t, bus.Options{DataDir: dir})
	full(t, b)

	aged := bucketOf(t, b, "aged", bus.BucketOptions{MaxAge: time.Second})
	m := reflect(t, aged)
	put(t, aged, "a", "1")
	m.wants(t, "at first", map[string]string{"a": "1"})
	eventually(t, "the entry ends", func() bool {
		e, err := aged.Get(within(t), "a")
		m.mu.Lock()
		defer m.mu.Unlock()
		_, mirrored := m.values["a"]
		return err == nil && e == nil && !mirrored
	})
	if m.began() != 1 {
		t.Errorf("the watch began %d times", m.began())
	}
	if _, err := aged.Create(within(t), "a", []byte("2")); err != nil {
		t.Errorf("Create of what ended by its age: %v", err)
	}

	k := bucketOf(t, b, "changed", bus.BucketOptions{MaxBytes: 1 << 20})
	put(t, k, "a", "1")
	closeBus(t, b)
	b, log := open(t, bus.Options{DataDir: dir})
	k = bucketOf(t, b, "changed", bus.BucketOptions{MaxBytes: 2 << 20, MaxAge: time.Hour})
	wantValue(t, k, "a", "1")
	s, err := b.JetStream().Stream(within(t), "imagegate_changed")
	if err != nil {
		t.Fatal(err)
	}
	if c := s.CachedInfo().Config; c.MaxBytes <= 2<<20 || c.MaxAge != time.Hour {
		t.Errorf("limits %d, %s", c.MaxBytes, c.MaxAge)
	}
	log.has(t, "a bucket got other limits")
	if _, err := b.Bucket("no good", bus.BucketOptions{}); err == nil {
		t.Error("a name with a space is one")
	}
	if _, err := b.Bucket("negative", bus.BucketOptions{MaxBytes: -1}); err == nil {
		t.Error("a limit is negative")
	}
}

// full fills a bucket, works with it, and empties it.
func full(t *testing.T, b *bus.Bus) {
	t.Helper()
	k := bucketOf(t, b, unique(), bus.BucketOptions{MaxBytes: 64 << 10})
	m := reflect(t, k)
	revisions := map[string]uint64{}
	for i := 0; ; i++ {
		key := fmt.Sprintf("k.%d", i)
		r, err := k.Put(within(t), key, []byte{'x'}, nil)
		if errors.Is(err, bucket.ErrFull) {
			break
		}
		if err != nil || i > 10000 {
			t.Fatalf("write %d: %v", i, err)
		}
		revisions[key] = r
	}
	for _, size := range []int{1, 2 << 20} {
		if _, err := k.Create(within(t), "new", make([]byte, size)); !errors.Is(err, bucket.ErrFull) {
			t.Errorf("Create of %d bytes in a full bucket: %v", size, err)
		}
	}
	var mu sync.Mutex
	all := func(what string, do func(key string) error) {
		t.Helper()
		var wg sync.WaitGroup
		for key := range revisions {
			wg.Go(func() {
				if err := do(key); err != nil {
					t.Errorf("%s %s of a full bucket: %v", what, key, err)
				}
			})
		}
		wg.Wait()
	}
	if len(revisions) == 0 {
		t.Fatal("nothing fits")
	}
	keys := revisions
	revisions = map[string]uint64{}
	for key, r := range keys {
		next, err := k.Update(within(t), key, []byte{'y'}, r)
		if err != nil {
			t.Fatalf("Update %s of a full bucket: %v", key, err)
		}
		revisions[key] = next
	}
	// Until the stream itself is full, which deletions get over.
	large := make([]byte, 16<<10)
	hard := 0
	for key, r := range revisions {
		next, err := k.Update(within(t), key, large, r)
		if errors.Is(err, bucket.ErrFull) {
			hard++
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		revisions[key] = next
		mu.Unlock()
	}
	if hard == 0 {
		t.Error("the stream has no bound")
	}
	all("Delete", func(key string) error { return k.Delete(within(t), key, 0) })
	eventually(t, "the watch has seen all end", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.values) == 0
	})
}

// TestMistakes: each is said with its name.
func TestMistakes(t *testing.T) {
	tls := bus.ServerTLS{CertFile: "a", KeyFile: "b", CAFile: "c"}
	three := map[string]string{"a": "h1:1", "b": "h2:1", "c": "h3:1"}
	at := func(url string) bus.Options { return bus.Options{External: &bus.External{URLs: []string{url}}} }
	for _, secret := range []string{"nats://me:pw@a", "nats://pw@a", "me:pw@a:4222", "pw@a", "nats://me:p%w@a"} {
		if _, err := bus.Open(t.Context(), at(secret)); err == nil || strings.Contains(err.Error(), "pw") || strings.Contains(err.Error(), "p%w") {
			t.Errorf("url %s: %v", secret, err)
		}
	}
	for want, o := range map[string]bus.Options{
		"dataDir":                          {},
		"prefix":                           {DataDir: "x", Prefix: "a.b"},
		"sync":                             {DataDir: "x", Sync: "sometimes"},
		"negative":                         {DataDir: "x", MaxBytes: -1},
		"either":                           {DataDir: "x", Cluster: &bus.Cluster{}, External: &bus.External{}},
		"odd number":                       {DataDir: "x", Cluster: &bus.Cluster{Peers: map[string]string{"a": "h:1", "b": "h:2"}}},
		"none of the peers":                {DataDir: "x", Cluster: &bus.Cluster{Name: "d", Peers: three, TLS: tls}},
		"must be host:port":                {DataDir: "x", Cluster: &bus.Cluster{Name: "a", Peers: map[string]string{"a": "h1", "b": "h2:1", "c": "h3:1"}, TLS: tls}},
		"a and b have the same address":    {DataDir: "x", Cluster: &bus.Cluster{Name: "a", Peers: map[string]string{"a": "h1:1", "b": "h1:1", "c": "h3:1"}, TLS: tls}},
		"no dots":                          {DataDir: "x", Cluster: &bus.Cluster{Name: "a.x", Peers: map[string]string{"a.x": "h1:1", "b": "h2:1", "c": "h3:1"}, TLS: tls}},
		"cluster listen":                   {DataDir: "x", Cluster: &bus.Cluster{Name: "a", Peers: three, Listen: "nowhere", TLS: tls}},
		"clientListen":                     {DataDir: "x", Cluster: &bus.Cluster{Name: "a", Peers: three, ClientListen: "nowhere", TLS: tls}},
		"caFile must be set":               {DataDir: "x", Cluster: &bus.Cluster{Name: "a", Peers: three}},
		"url":                              {External: &bus.External{}},
		"must be nats://":                  {External: &bus.External{URLs: []string{"http://a"}}},
		"credentials belong into a file":   {External: &bus.External{URLs: []string{"nats://me:pw@a"}}},
		"one of credsFile":                 {External: &bus.External{URLs: []string{"nats://a"}, CredsFile: "a", TokenFile: "b"}},
		"userFile and passwordFile":        {External: &bus.External{URLs: []string{"nats://a"}, UserFile: "a"}},
		"certFile and keyFile must be set": {External: &bus.External{URLs: []string{"nats://a"}, TLS: bus.ClientTLS{CertFile: "a"}}},
		"replicas: 7":                      {External: &bus.External{URLs: []string{"nats://a"}, Replicas: 7}},
		"replicas: 2":                      {External: &bus.External{URLs: []string{"nats://a"}, Replicas: 2}},
	} {
		b, err := bus.Open(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pw") {
			t.Errorf("error %v, want %q", err, want)
		}
		if b != nil {
			closeBus(t, b)
		}
	}
}
