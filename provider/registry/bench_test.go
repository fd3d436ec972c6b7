package registry

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

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

// BenchmarkFirstLook resolves tags that nobody has asked for, in a registry 20 ms away:
// one, and the five of a Pod at once, of one repository and of five.
func BenchmarkFirstLook(b *testing.B) {
	const tags = 5
	reg := newRegistry(b, false)
	var one, five []string
	for i := range tags {
		one, five = append(one, fmt.Sprintf("app:%d", i)), append(five, fmt.Sprintf("app-%d:1", i))
		reg.push(one[i])
		reg.push(five[i])
	}
	reg.far = 20 * time.Millisecond
	took := map[string]float64{}
	for _, side := range []struct {
		name string
		refs []string
	}{{"one", one[:1]}, {"five of one repository", one}, {"five of five", five}} {
		b.Run(side.name, func(b *testing.B) {
			for b.Loop() {
				r := resolver(b, Options{Insecure: []string{reg.host()}})
				var wg sync.WaitGroup
				for _, ref := range side.refs {
					wg.Go(func() {
						if _, err := r.ResolveNow(b.Context(), reg.host()+"/"+ref, "", Access{}); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
			}
			took[side.name] = b.Elapsed().Seconds() / float64(b.N)
			if one := took["one"]; one > 0 {
				b.ReportMetric(took[side.name]/one, "times-one")
			}
		})
	}
}
