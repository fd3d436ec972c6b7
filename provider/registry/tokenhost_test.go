package registry

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/imagegate/imagegate/provider/registry/transport/transporttest"
	"github.com/imagegate/imagegate/provider/report"
)

// The nodes pull from a registry whose tokens are made at 10.0.0.5, so the
// provider has to be able to as well, when somebody says so.
func TestATokenServerWithAPrivateAddress(t *testing.T) {
	inside := newRegistry(t, false)
	digest := inside.push("app:1")
	door := transporttest.NewDoor(t, inside.Config.Handler)
	ref := door.RegistryHost() + "/app:1"
	config := filepath.Join(t.TempDir(), "config.json")
	auth := base64.StdEncoding.EncodeToString([]byte(transporttest.User + ":" + transporttest.Password))
	if err := os.WriteFile(config, fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, door.RegistryHost(), auth), 0o600); err != nil {
		t.Fatal(err)
	}

	_, err := resolver(t, Options{DockerConfig: config, Hosts: door.Hosts(t)}).Resolve(t.Context(), ref, "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, door.TokenHost(), "private address", "registry.tokenHosts")
	_, err = resolver(t, Options{DockerConfig: config, Hosts: door.Hosts(t, "127.0.0.1:1", "10.0.0.5")}).Resolve(t.Context(), ref, "", Access{})
	wantFailure(t, err, report.ReasonUnavailable, door.TokenHost(), "registry.tokenHosts")
	if n := door.Asked.Load(); n != 0 {
		t.Errorf("a token server that is not listed was asked %d times", n)
	}

	res, err := resolver(t, Options{DockerConfig: config, Hosts: door.Hosts(t, door.TokenHost())}).Resolve(t.Context(), ref, "", Access{})
	if err != nil || res.Digest != digest {
		t.Errorf("with the token server listed: %+v, %v", res, err)
	}
	if door.Asked.Load() == 0 {
		t.Error("the listed token server was not asked")
	}
}
