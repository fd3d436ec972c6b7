package registry

import "github.com/google/go-containerregistry/pkg/name"

// hubAlias is a repository of Docker Hub by the name that people know it by,
// under which kubelets find credentials too. It is an authn.Resource.
type hubAlias struct{ repo name.Repository }

// String returns docker.io/library/nginx.
func (a hubAlias) String() string { return a.RegistryStr() + "/" + a.repo.RepositoryStr() }

// RegistryStr returns docker.io.
func (a hubAlias) RegistryStr() string { return "docker.io" }
