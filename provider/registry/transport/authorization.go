package transport

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Authenticator reads the value of an Authorization header, which opens the
// registry to a scan. Its errors do not repeat it.
func Authenticator(header string) (authn.Authenticator, error) {
	if header == "" {
		return authn.Anonymous, nil
	}
	scheme, value, _ := strings.Cut(header, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer") && value != "":
		return authn.FromConfig(authn.AuthConfig{RegistryToken: value}), nil
	case strings.EqualFold(scheme, "Basic"):
		plain, err := base64.StdEncoding.DecodeString(value)
		user, password, ok := strings.Cut(string(plain), ":")
		if err == nil && ok {
			// go-containerregistry sends an empty password only as Auth.
			return authn.FromConfig(authn.AuthConfig{Username: user, Password: password, Auth: value}), nil
		}
	}
	return nil, errors.New("the registry's authorization is neither Basic nor Bearer")
}
