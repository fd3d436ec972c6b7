package worker

import (
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func certificate(t *testing.T) string {
	t.Helper()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
}

// A file that changes counts from the next scan on, unless it is half written.
func TestAuthoritiesAreFollowed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second := certificate(t), certificate(t)+certificate(t)
	write(first)
	a, err := newAuthorities(map[string]string{"Registry.Example:443": file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ written, want string }{{first, first}, {second, second}, {second[:40], second}, {first + first[:len(first)/2], second}, {"", second}, {first, first}} {
		write(c.written)
		if got := a.all()["registry.example"]; got != c.want {
			t.Errorf("after %.20q: %.60q", c.written, got)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := a.all()["registry.example"]; got != first {
		t.Errorf("without the file: %.60q", got)
	}
}

func TestAuthoritiesThatAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(certificate(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string]map[string]string{
		"not a registry":  {"https://r.example": file},
		"there twice":     {"r.example": file, "R.example:443": file},
		"no such file":    {"r.example": file + "x"},
		"no PEM":          {"r.example": empty},
		"not a registry'": {"": file},
	} {
		if _, err := newAuthorities(files, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", files, err, want)
		}
	}
}
