package registry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
)

// hangs has the registry answer no question about a manifest until the end of
// the test.
func (r *testRegistry) hangs() {
	release := make(chan struct{})
	r.t.Cleanup(func() { close(release) })
	r.breakWith(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
}

// settled waits until as many look-ups as said have a turn or wait for one.
func settled(t *testing.T, r *Resolver, lookups int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); r.turns.Held()+r.turns.Waiting() < lookups; {
		if time.Now().After(deadline) {
			t.Fatalf("%d look-ups have a turn and %d wait, want %d", r.turns.Held(), r.turns.Waiting(), lookups)
		}
		time.Sleep(time.Millisecond)
	}
}

// abandoned is the context of an asker that is gone; its look-up goes on.
func abandoned(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestARegistryThatHangsLeavesTurnsToOthers(t *testing.T) {
	hanging, other := newRegistry(t, false), newRegistry(t, false)
	other.push("app:1")
	hanging.hangs()
	r := resolver(t, Options{Insecure: []string{hanging.host(), other.host()}, Timeout: time.Minute})
	r.turns = turns.New(turns.Limits{Turns: 4, PerRegistry: 3, Waiting: 2})
	ask := func(ctx context.Context, host string, i int) error {
		_, err := r.Resolve(ctx, fmt.Sprintf("%s/app:%d", host, i), "", Access{})
		return err
	}
	for i := range 4 { // two have a turn, two wait
		wantFailure(t, ask(abandoned(t), hanging.host(), i), report.ReasonUnavailable)
		settled(t, r, i+1)
	}
	wantFailure(t, ask(t.Context(), hanging.host(), 5), report.ReasonUnavailable, "too many look-ups are under way already", hanging.host()+" was not asked")
	if err := ask(t.Context(), other.host(), 1); err != nil {
		t.Errorf("the other registry: %v", err)
	}
}

// hundredThatHang returns a hundred names of hosts that take connections and
// never say a word.
func hundredThatHang(t *testing.T) []string {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	var conns []net.Conn
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	hosts := make([]string, 100)
	for i := range hosts {
		hosts[i] = net.JoinHostPort(fmt.Sprintf("127.0.1.%d", i+1), port)
	}
	return hosts
}

// TestAHundredHangingRegistriesOfOneNamespace: as many names of registries that
// never answer as one author may write into Pods, in the real numbers, and one
// image of another namespace. Its two times are printed.
func TestAHundredHangingRegistriesOfOneNamespace(t *testing.T) {
	good := newRegistry(t, false)
	for _, tag := range []string{"0", "1", "2"} {
		good.push("app:" + tag)
	}
	hosts := append(hundredThatHang(t), good.host())
	r := resolver(t, Options{Insecure: hosts, Timeout: time.Minute})
	ask := func(tag, namespace string) time.Duration {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // a hang is a failure, not an endless test
		defer cancel()
		if _, err := r.Resolve(ctx, good.host()+"/app:"+tag, "", Access{Namespace: namespace}); err != nil {
			t.Errorf("the good image: %v", err)
		}
		return time.Since(began)
	}
	ask("0", "good") // connects
	idle := ask("1", "good")
	var wg sync.WaitGroup
	gone := abandoned(t)
	for _, host := range hosts[:100] {
		for tag := range 20 {
			wg.Go(func() {
				_, _ = r.Resolve(gone, fmt.Sprintf("%s/app:%d", host, tag), "", Access{Namespace: "evil"})
			})
		}
	}
	wg.Wait()
	settled(t, r, 2000)
	// The good image's own question too, from the namespace that has no turn left.
	_, _ = r.Resolve(gone, good.host()+"/app:2", "", Access{Namespace: "evil"})
	settled(t, r, 2001)
	held, waiting := r.turns.Held(), r.turns.Waiting()
	if held >= lookupTurns().Turns || waiting < 1000 {
		t.Errorf("%d hostile look-ups under way and %d waiting: not what is to be shown", held, waiting)
	}
	attacked := ask("2", "good")
	if r.turns.Held() < held || r.turns.Waiting() < waiting {
		t.Errorf("the good image was answered only after hostile ones had ended: %d under way then, %d now", held, r.turns.Held())
	}
	t.Logf("one image: %s when idle, %s beside %d look-ups that hang and %d that wait", idle, attacked, held, waiting)
}

// TestOneNamespacesLookUpIsNotAnothers: the one that asked first has no turn
// left; whoever asks the same must not wait for its look-up.
func TestOneNamespacesLookUpIsNotAnothers(t *testing.T) {
	hanging, good := newRegistry(t, false), newRegistry(t, false)
	good.push("app:1")
	hanging.hangs()
	r := resolver(t, Options{Insecure: []string{hanging.host(), good.host()}, Timeout: time.Minute})
	r.turns = turns.New(turns.Limits{Turns: 2, Waiting: 10})
	_, _ = r.Resolve(abandoned(t), hanging.host()+"/app:1", "", Access{Namespace: "evil"})
	settled(t, r, 1)
	_, _ = r.Resolve(abandoned(t), good.host()+"/app:1", "", Access{Namespace: "evil"})
	settled(t, r, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := r.Resolve(ctx, good.host()+"/app:1", "", Access{Namespace: "good"}); err != nil {
		t.Error(err)
	}
	if n := r.turns.Waiting(); n != 1 {
		t.Errorf("%d wait, want the hostile one", n)
	}
}

// TestOneNamespacesRequestsDoNotFillAHost: the few connections that one host is
// given are shared as well.
func TestOneNamespacesRequestsDoNotFillAHost(t *testing.T) {
	reg := newRegistry(t, false)
	reg.push("app:good")
	release := make(chan struct{})
	defer close(release)
	inner := reg.Config.Handler
	reg.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/manifests/evil") {
			select {
			case <-release:
			case <-req.Context().Done():
			}
			return
		}
		inner.ServeHTTP(w, req)
	})
	r := resolver(t, Options{Insecure: []string{reg.host()}, Timeout: time.Minute, Concurrency: 4})
	for i := range 30 {
		_, _ = r.Resolve(abandoned(t), fmt.Sprintf("%s/app:evil-%d", reg.host(), i), "", Access{Namespace: "evil"})
	}
	settled(t, r, 30)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := r.Resolve(ctx, reg.host()+"/app:good", "", Access{Namespace: "good"}); err != nil {
		t.Error(err)
	}
}

// TestOneNamespacesSecretsDoNotFillTheAPIServer: keys name Secrets by the
// thousand, whose reads hang.
func TestOneNamespacesSecretsDoNotFillTheAPIServer(t *testing.T) {
	reg, _ := private(t)
	c := newCluster(t)
	c.secret("good", "pull", reg.host(), "ann", "secret")
	release := make(chan struct{})
	defer close(release)
	inner := c.Config.Handler
	c.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/namespaces/evil/secrets/") {
			select {
			case <-release:
			case <-req.Context().Done():
			}
		}
		inner.ServeHTTP(w, req)
	})
	r := resolver(t, Options{Insecure: []string{reg.host()}, PullSecrets: c.pullSecrets(t), Timeout: time.Minute})
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for i := range 200 {
		asking.Go(func() {
			_, _ = r.Resolve(ctx, reg.host()+"/team/app:1", "", Access{Namespace: "evil", PullSecrets: []string{fmt.Sprint("none-", i)}})
		})
	}
	api := r.keys.cluster.turns
	for deadline := time.Now().Add(time.Minute); api.Waiting() < 100 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if api.Held() >= apiReads {
		t.Errorf("one namespace has all %d reads", api.Held())
	}
	if _, err := r.Resolve(t.Context(), reg.host()+"/team/app:1", "", Access{Namespace: "good", PullSecrets: []string{"pull"}}); err != nil {
		t.Error(err)
	}
}
