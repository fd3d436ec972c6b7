package registry

import "testing"

// BenchmarkResolveRemembered is what every admission pays for an image whose
// tag, access and platforms are known.
func BenchmarkResolveRemembered(b *testing.B) {
	reg := newRegistry(b, false)
	reg.pushIndex("app:1", "linux/amd64", "linux/arm64/v8", "unknown/unknown")
	r := resolver(b, Options{Insecure: []string{reg.host()}})
	for b.Loop() {
		if _, err := r.Resolve(b.Context(), reg.host()+"/app:1", "", Access{}); err != nil {
			b.Fatal(err)
		}
	}
}
