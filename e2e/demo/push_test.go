package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

// The credentials are read as Docker reads them, those of a helper too.
func TestOpens(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.json")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	write("docker-credential-try", "#!/bin/sh\necho '{\"Username\": \"helped\", \"Secret\": \"s\"}'\n")
	write("config.json", `{"auths": {"127.0.0.1:5000": {"auth": "dTpw"}, "127.0.0.1:5001": {"username": "v", "password": "q"}}, "credHelpers": {"127.0.0.1:5002": "try"}}`)
	for host, want := range map[string]string{"127.0.0.1:5000": "u p", "127.0.0.1:5001": "v q", "127.0.0.1:5002": "helped s"} {
		auth, err := opens(path, host)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		found, err := authn.Authorization(t.Context(), auth)
		if err != nil || found.Username+" "+found.Password != want {
			t.Errorf("%s: %+v, %v", host, found, err)
		}
	}
	for file, want := range map[string]string{path: "does not open 127.0.0.1:1, only", filepath.Join(dir, "none"): "does make up run?"} {
		if _, err := opens(file, "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
