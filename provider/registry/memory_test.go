package registry

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/cli/cli/config/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/imagegate/imagegate/provider/registry/keyring"
	"github.com/imagegate/imagegate/provider/report"
)

// worst fills one cache with the largest entries that others can have it keep,
// with more of them than it may hold, and returns what it holds then.
type worst struct {
	name string
	// most is what the cache may hold in bytes.
	most int
	fill func() (entries, bytes int)
}

// fillBounded adds what make makes until the cache has let go of much, or is full
// by count.
func fillBounded[V any](b *bounded[V], key func(i int) string, value func(i int) V) (entries, bytes int) {
	for i, evicted := 0, 0; evicted < 3 && i < 10_000; i++ {
		if b.Add(key(i), value(i)) {
			evicted++
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lru.Len(), b.bytes
}

// TestMemoryOfEveryCacheAtItsWorst asks each cache for its worst and prints what
// it then takes. The tokens alone could be gigabytes.
func TestMemoryOfEveryCacheAtItsWorst(t *testing.T) {
	c := newCluster(t)
	config := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(config, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	pull := c.pullSecrets(t)
	pull.TTL = time.Hour
	r := resolver(t, Options{PullSecrets: pull, DockerConfig: config, Rate: 100_000, FailureTTL: time.Hour, TagTTL: time.Hour, AccessTTL: time.Hour})
	// A reference has 1024 bytes at the most, a namespace 63, an id 64.
	image := func(i int) string {
		return fmt.Sprintf("%0*d", 1024, i) + "@sha256:" + strings.Repeat("a", 64) + "\n" + strings.Repeat("b", 64)
	}
	question := func(i int) string { return strings.Repeat("n", 63) + image(i) + strings.Repeat("linux/amd64,", 32) }
	failure := func(i int) *report.Failure {
		why := errors.New(strings.Repeat("why", 1000))
		return report.FailureOf(brief(&report.Failure{Reason: report.ReasonInternal, Message: strings.Repeat(fmt.Sprint(i), 1000), Err: why}))
	}
	secret := func(entries, size int) func(int) *keyring.Config {
		return func(n int) *keyring.Config {
			var auths []string
			for i := range entries {
				auths = append(auths, fmt.Sprintf(`"r%d-%d.example.com":{"username":"u","password":"%s"}`, n, i, strings.Repeat("p", size)))
			}
			keys, err := keyring.Parse([]byte(`{"auths":{` + strings.Join(auths, ",") + `}}`))
			if err != nil {
				t.Fatal(err)
			}
			return keys
		}
	}
	docker := r.keys.docker
	for _, w := range []worst{
		{"tags", tagBytes, func() (int, int) {
			return fillBounded(r.tags, image, func(i int) seen { return seen{digest: fmt.Sprintf("sha256:%064d", i)} })
		}},
		{"proofs of access", proofBytes, func() (int, int) {
			return fillBounded(r.proofs, image, func(int) struct{} { return struct{}{} })
		}},
		{"failures", failureBytes, func() (int, int) { return fillBounded(r.failures, question, failure) }},
		{"unfit manifests", unfitBytes, func() (int, int) { return fillBounded(r.unfit, image, failure) }},
		{"manifests", documentBytes, func() (int, int) {
			return fillBounded(r.documents, image, func(i int) *document { return fullIndex(t, i) })
		}},
		{"clients with tokens", pullerBytes, func() (int, int) { return fillClients(t, r) }},
		{"registries left alone", waitBytes, func() (int, int) {
			return fillBounded(r.waits, image, func(int) time.Time { return time.Time{} })
		}},
		{"registries' turns", maxHosts * 4 << 10, func() (int, int) {
			for i := range 2 * maxHosts {
				r.gate.host(fmt.Sprintf("%0*d", maxHost, i))
			}
			return r.gate.hosts.Len(), r.gate.hosts.Len() * maxHost
		}},
		{"pull Secrets, few passwords", secretBytes, func() (int, int) {
			return fillBounded(r.keys.cluster.secrets, question, secret(1, 1<<20))
		}},
		{"pull Secrets, many entries", secretBytes, func() (int, int) {
			return fillBounded(r.keys.cluster.secrets, question, secret(4096, 1))
		}},
		{"service accounts", accountBytes, func() (int, int) { return fillAccounts(t, c, r) }},
		{"helpers' answers", helperBytes, func() (int, int) {
			return fillBounded(docker.answers, image, func(i int) types.AuthConfig {
				return types.AuthConfig{Username: "u", Password: fmt.Sprintf("%0*d", maxHelperBytes, i)}
			})
		}},
		{"helpers' failures", helperBytes, func() (int, int) {
			return fillBounded(docker.failures, image, func(i int) error {
				return &helperError{helper: "h", text: "failed", err: fmt.Errorf("status %d: %s", i, quote(errors.New(strings.Repeat("x", maxHelperBytes))))}
			})
		}},
	} {
		r.keys.cluster.secrets.Purge() // there are two rows of them
		before := heap()
		entries, bytes := w.fill()
		held := int(heap()) - int(before)
		fmt.Printf("%-28s %5d entries, %6.1f MiB counted of %5.1f, %6.1f MiB of heap\n", w.name, entries, mib(bytes), mib(w.most), mib(held))
		if entries == 0 || bytes > w.most || held > 2*w.most {
			t.Errorf("%s: %d entries are counted as %d bytes and take %d, more than %d may", w.name, entries, bytes, held, w.most)
		}
	}
	runtime.KeepAlive(r)
}

func mib(n int) float64 { return float64(n) / (1 << 20) }

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one has finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// fullIndex is an index that lists as much as one may.
func fullIndex(t *testing.T, n int) *document {
	doc := &document{digest: fmt.Sprintf("sha256:%064d", n), mediaType: indexType, index: true}
	for i := range maxChildren {
		field := fmt.Sprintf("%0*d", maxField, i)
		p := &ocispec.Platform{OS: field, Architecture: "a" + field[1:], Variant: "v" + field[1:], OSVersion: "o" + field[1:]}
		for f := range maxFeatures {
			p.OSFeatures = append(p.OSFeatures, fmt.Sprintf("%0*d", maxField, f))
		}
		child, err := reduce(ocispec.Descriptor{MediaType: "m" + field[1:], Digest: "sha256:" + "0123456789abcdef", Platform: p})
		if err != nil {
			t.Fatal(err)
		}
		doc.children = append(doc.children, child)
	}
	return doc
}

// fillClients looks up images of a registry whose token server gives the largest
// tokens, and that asks for another scope each time.
func fillClients(t *testing.T, r *Resolver) (entries, bytes int) {
	reg := newRegistry(t, false)
	reg.push("app:1")
	r.gate.insecure[reg.host()] = true
	inner := reg.Config.Handler
	var mu sync.Mutex
	asked := map[string]int{}
	reg.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		asked[req.Method+req.URL.Path]++
		n := asked[req.Method+req.URL.Path]
		mu.Unlock()
		switch {
		case req.URL.Path == "/token":
			_, _ = fmt.Fprintf(w, `{"token":"%0*d"}`, 60<<10, n)
		case req.Header.Get("Authorization") != "" && n%2 == 0:
			req.Header.Del("Authorization")
			req.URL.Path = "/v2/app/manifests/1"
			inner.ServeHTTP(w, req)
		default:
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="s",scope="%0*d"`, reg.URL, 50<<10, n))
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	for i := range 100 {
		if _, err := r.Resolve(t.Context(), fmt.Sprintf("%s/app-%d:1", reg.host(), i), "", Access{}); err != nil {
			t.Fatal(err)
		}
	}
	reg.CloseClientConnections()
	r.Close()
	r.pullers.mu.Lock()
	defer r.pullers.mu.Unlock()
	return r.pullers.lru.Len(), r.pullers.bytes
}

// fillAccounts reads service accounts that name more Secrets than are used.
func fillAccounts(t *testing.T, c *cluster, r *Resolver) (entries, bytes int) {
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("%0253d", i))
	}
	accounts := r.keys.cluster.accounts
	for i := range 20 {
		account := fmt.Sprint("account-", i)
		c.account("a", account, names...)
		got, err := r.keys.cluster.account(t.Context(), "a", account)
		if err != nil || len(got) != maxPullSecrets || got[0] != names[0] {
			t.Fatalf("%d names, %v", len(got), err)
		}
	}
	c.mu.Lock()
	clear(c.objects)
	c.mu.Unlock()
	if accounts.bytes > 20*(maxPullSecrets*300+entryBytes+100) {
		t.Errorf("20 accounts are counted as %d bytes", accounts.bytes)
	}
	return fillBounded(accounts, func(i int) string { return fmt.Sprint("b/", i) }, func(i int) []string {
		list := make([]string, maxPullSecrets)
		for n := range list {
			list[n] = fmt.Sprintf("%0200d-%0*d", i, 52, n)
		}
		return list
	})
}
