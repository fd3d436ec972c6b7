package config

import (
	"os"
	"path/filepath"

	"github.com/imagegate/imagegate/provider/overlay"
)

// DockerLogin is the file in which docker login keeps credentials, as docker finds
// it: config.json in $DOCKER_CONFIG or ~/.docker. It need not exist.
func DockerLogin(env overlay.Env) string {
	dir, ok := env("DOCKER_CONFIG")
	if !ok || dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(home, ".docker")
	}
	return filepath.Join(dir, "config.json")
}
