package install

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

// watchedKinds answers watches: what there is to see is looked up elsewhere.
func watchedKinds(i *Installer) *dynamicfake.FakeDynamicClient {
	kinds := map[schema.GroupVersionResource]string{secrets: "SecretList"}
	for _, s := range i.watchedByLeader() {
		kinds[s.resource] = s.resource.Resource + "List"
	}
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
}

// run has a replica do its part until end.
func (i *installation) run() (end func()) {
	i.t.Helper()
	i.watched = watchedKinds(i.Installer)
	i.tell.close()
	ctx, cancel := context.WithCancel(i.t.Context())
	done := make(chan error, 1)
	go func() { done <- i.Run(ctx) }()
	return func() {
		i.t.Helper()
		cancel()
		if err := <-done; err != nil {
			i.t.Error(err)
		}
	}
}

// TestOneReplicaInstallsAndHandsOver runs two, ends the one that leads, and then the
// other. Nothing of them is left running: the bubble would not end.
func TestOneReplicaInstallsAndHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPIServer(t)
		api.prompt = true
		first := newInstallation(t, api, nil)
		second := newInstallation(t, api, func(o *Options) { o.Identity = "b" })
		second.Installer.core, second.state.client = first.core, first.core
		first.gatekeeperComes(authority(t).CACert, "Fail", 5)
		first.write(strict)

		endFirst := first.run()
		time.Sleep(5 * time.Second)
		endSecond := second.run()
		time.Sleep(time.Minute)
		leads := func(i *installation) float64 { return testutil.ToFloat64(i.metrics.leading) }
		if leads(first) != 1 || leads(second) != 0 {
			t.Errorf("leading: %v and %v", leads(first), leads(second))
		}
		for name, i := range map[string]*installation{"first": first, "second": second} {
			if err := i.Status().Err(); err != nil || testutil.ToFloat64(i.metrics.enforcing) != 1 {
				t.Errorf("%s: %v", name, err)
			}
			select {
			case <-i.First():
			default:
				t.Errorf("%s has no certificate: %v", name, i.Withheld())
			}
		}
		l, err := first.core.CoordinationV1().Leases("imagegate-system").Get(t.Context(), "imagegate-install", metav1.GetOptions{})
		if err != nil || len(l.OwnerReferences) != 1 || l.Labels[Label] != "imagegate" {
			t.Errorf("the Lease: %+v, %v", l, err)
		}
		endFirst()
		time.Sleep(3 * retryPeriod) // each waits for one, and up to 1.2 more
		if leads(first) != 0 || leads(second) != 1 {
			t.Errorf("%s after the end of the leader: %v and %v", 3*retryPeriod, leads(first), leads(second))
		}
		endSecond()
	})
}

// TestNewSettingsAreFollowedBeforeTheOldReplicaEnds: an upgrade in which the new
// replica is ready only when what it wants is installed, and the old one ends only
// then.
func TestNewSettingsAreFollowedBeforeTheOldReplicaEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPIServer(t)
		api.prompt = true
		old := newInstallation(t, api, nil)
		old.gatekeeperComes(authority(t).CACert, "Fail", 5)
		old.write(strict)
		leads := func(i *installation) bool { return testutil.ToFloat64(i.metrics.leading) == 1 }
		endOld := old.run()
		time.Sleep(time.Minute)
		same := newInstallation(t, api, func(o *Options) { o.Identity = "same" })
		same.Installer.core, same.state.client = old.core, old.core
		endSame := same.run()
		time.Sleep(time.Minute)
		if !leads(old) || leads(same) {
			t.Error("a replica with the same settings took over")
		}
		endSame()
		other := newInstallation(t, api, func(o *Options) { o.Identity, o.Provider.Timeout = "other", o.Provider.Timeout+1 })
		other.Installer.core, other.state.client = old.core, old.core
		endOther := other.run()
		time.Sleep(2 * time.Minute)
		if leads(old) || !leads(other) {
			t.Errorf("leading: old %v, new %v", leads(old), leads(other))
		}
		// The upgrade is taken back: the old one leads, and its settings are in force.
		endOther()
		time.Sleep(time.Minute)
		if !leads(old) {
			t.Error("nobody leads after the new replica's end")
		}
		endOld()
	})
}

// TestTheAPIServerMayBeAway: nobody ends for it, and what is served stays.
func TestTheAPIServerMayBeAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPIServer(t)
		i := newInstallation(t, api, nil)
		i.gatekeeperComes(authority(t).CACert, "Fail", 5)
		i.write(strict)
		i.fine(i.rounds(6))
		before, err := i.served.files()
		if err != nil {
			t.Fatal(err)
		}
		away := true
		i.core.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
			return away, nil, errors.New("the API server is away")
		})
		end := i.run()
		time.Sleep(time.Minute)
		after, err := i.served.files()
		if err != nil || !same(before, after) {
			t.Errorf("what is served changed: %v", err)
		}
		if i.Withheld() == nil {
			t.Error("nobody says that the API server is away")
		}
		end()
	})
}
