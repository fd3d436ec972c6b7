package pullthrough

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/imagegate/imagegate/provider/backend"
	"github.com/imagegate/imagegate/provider/registry/transport"
	"github.com/imagegate/imagegate/provider/registry/transport/transporttest"
	"github.com/imagegate/imagegate/provider/report"
)

const (
	user, password = "robot", "opensesame"
	repository     = "team/shop"
)

// registry serves what is put into it to whoever has the credentials.
type registry struct {
	*httptest.Server

	// password is what the registry asks for.
	password string

	mu      sync.Mutex
	content map[string][]byte
	// serve replaces the answer for a digest, by how often it was asked for.
	serve map[string]func(n int, w http.ResponseWriter, r *http.Request) bool
	asked map[string]int
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	g := &registry{password: password, content: map[string][]byte{}, serve: map[string]func(int, http.ResponseWriter, *http.Request) bool{}, asked: map[string]int{}}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	return g
}

func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if u, p, ok := r.BasicAuth(); !ok || u != user || p != g.password {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	digest := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	if digest == "" {
		return // the version check
	}
	g.mu.Lock()
	g.asked[digest]++
	n, serve, b := g.asked[digest], g.serve[digest], g.content[digest]
	g.mu.Unlock()
	if serve != nil && serve(n, w, r) {
		return
	}
	if b == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}

func (g *registry) times(digest string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked[digest]
}

// put adds content and returns its digest.
func (g *registry) put(b []byte) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := digest(b)
	g.content[d] = b
	return d
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return digestOf(sum[:])
}

// part is a layer as an image has it.
type part struct {
	mediaType string
	packed    []byte
	diffID    string
}

// image pushes one of the parts. change may spoil manifest and configuration.
func (g *registry) image(t *testing.T, parts []part, change func(manifest, config map[string]any)) backend.Image {
	t.Helper()
	layers, diffIDs := []any{}, []any{}
	for _, p := range parts {
		layers = append(layers, descriptor(p.mediaType, g.put(p.packed), len(p.packed)))
		diffIDs = append(diffIDs, p.diffID)
	}
	config := map[string]any{"architecture": "amd64", "os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}}
	manifest := map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "layers": layers}
	if change != nil {
		change(manifest, config)
	}
	c := encode(t, config)
	if raw, ok := config["raw"].(string); ok {
		c = []byte(raw)
	}
	if manifest["config"] == nil {
		manifest["config"] = descriptor(ocispec.MediaTypeImageConfig, g.put(c), len(c))
	}
	m := encode(t, manifest)
	if spoil, ok := manifest["spoil"].(func([]byte) []byte); ok {
		m = spoil(m)
	}
	return backend.Image{
		Registry: g.URL, Repository: repository, Digest: g.put(m), Tag: "1.4", MediaType: ocispec.MediaTypeImageManifest,
		Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)),
	}
}

func descriptor(mediaType, digest string, size int) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest, "size": size}
}

func encode(t *testing.T, v map[string]any) []byte {
	t.Helper()
	clean := map[string]any{}
	for k, value := range v {
		if k != "raw" && k != "spoil" {
			clean[k] = value
		}
	}
	b, err := json.Marshal(clean)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// noise is content that does not shrink.
func noise(seed uint64, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func tarOf(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	return w.EncodeAll(b, nil)
}

func gzipPart(t *testing.T, content []byte) part {
	t.Helper()
	return part{ocispec.MediaTypeImageLayerGzip, gzipped(t, content), digest(content)}
}

// adapter is a foreign scanner: what it does with the image it is told of.
type adapter func(ctx context.Context, image backend.Image) error

func (a adapter) Scan(ctx context.Context, image backend.Image) (*report.Scan, error) {
	if err := a(ctx, image); err != nil {
		return nil, err
	}
	return &report.Scan{Scanner: "adapter"}, nil
}

func (adapter) Sharing(backend.Image) backend.Sharing { return backend.ByDigest }
func (adapter) Ready(context.Context) error           { return errors.New("not ready") }
func (adapter) Generation(context.Context) (backend.Generation, error) {
	return backend.Generation{Scanner: "adapter"}, nil
}

func newServer(t *testing.T) *Server {
	t.Helper()
	ways := transport.NewSet(nil, time.Minute, 8)
	s, err := New(t.Context(), Options{Ways: ways, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		ways.CloseIdle()
	})
	return s
}

// pull reads the whole image as scanners do, and returns its layers as they are
// in the registry.
func pull(ctx context.Context, image backend.Image) ([][]byte, error) {
	auth, err := transport.Authenticator(image.Authorization)
	if err != nil {
		return nil, err
	}
	host := strings.TrimPrefix(image.Registry, "http://")
	ref, err := name.NewDigest(host+"/"+image.Repository+"@"+image.Digest, name.Insecure)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuth(auth), remote.WithRetryBackoff(remote.Backoff{Steps: 1}))
	if err != nil {
		return nil, err
	}
	if _, err := img.ConfigFile(); err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(r)
		_ = r.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// request asks the server as whoever holds the authorization.
func request(t *testing.T, ctx context.Context, method, url, authorization string, header ...string) (*http.Response, []byte, error) { //nolint:revive // t first, as in every test helper
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

func large(t *testing.T) part {
	t.Helper()
	return gzipPart(t, tarOf(t, "large", noise(1, keepLayer+3*chunkSize+17)))
}

func TestAScannerReadsAWholeImage(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	content := tarOf(t, "a", []byte("content"))
	twice := gzipPart(t, tarOf(t, "twice", nil))
	parts := []part{
		gzipPart(t, content),
		{ocispec.MediaTypeImageLayerZstd, zstandard(t, content), digest(content)},
		{ocispec.MediaTypeImageLayer, content, digest(content)},
		{"application/vnd.docker.image.rootfs.diff.tar.gzip", gzipped(t, noise(2, 100)), digest(noise(2, 100))},
		{ocispec.MediaTypeImageLayerGzip, slicesConcat(gzipped(t, content), gzipped(t, content)), digest(slicesConcat(content, content))},
		twice, twice, large(t),
	}
	image := g.image(t, parts, nil)
	b := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		if there.Registry != s.URL() || there.Repository != repository || there.Digest != image.Digest || there.Tag != image.Tag || there.MediaType != image.MediaType {
			t.Errorf("the scanner is told %+v", there)
		}
		got, err := pull(ctx, there)
		if err != nil {
			return err
		}
		for i, p := range parts {
			if !bytes.Equal(got[i], p.packed) {
				t.Errorf("layer %d has %d bytes, want %d", i, len(got[i]), len(p.packed))
			}
		}
		return nil
	}))
	if scan, err := b.Scan(t.Context(), image); err != nil || scan.Scanner != "adapter" {
		t.Fatalf("%v, %v", scan, err)
	}
	if n := g.times(digest(parts[7].packed)); n != 2 {
		t.Errorf("a layer too large to be kept was read %d times", n)
	}
	if n := g.times(digest(parts[0].packed)); n != 1 {
		t.Errorf("a small layer was read %d times", n)
	}
	if !s.work.kept.TryAcquire(keepAll) {
		t.Error("something is kept after the scan")
	}
	if b.Sharing(image) != backend.ByRepository || b.Ready(t.Context()) == nil {
		t.Error("it claims more than it verifies, or hides that the scanner is away")
	}
	if g, err := b.Generation(t.Context()); err != nil || g.Scanner != "adapter" {
		t.Errorf("%v, %v", g, err)
	}
}

func slicesConcat(a, b []byte) []byte { return append(bytes.Clone(a), b...) }

// TestNoByteOfAnotherLayerReachesTheScanner: a registry serves a real manifest
// with other layers. A reader of a tar stops at its end mark: of what is not
// verified to its end not even the beginning may be seen.
func TestNoByteOfAnotherLayerReachesTheScanner(t *testing.T) {
	small, big := gzipPart(t, tarOf(t, "var/lib/dpkg/status", noise(3, 5000))), large(t)
	harmless := func(size int) []byte {
		b := gzipped(t, tarOf(t, "harmless", nil))
		return append(b, make([]byte, size-len(b))...)
	}
	send := func(b []byte, chunked bool) func(int, http.ResponseWriter, *http.Request) bool {
		return func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			if !chunked {
				w.Header().Set("Content-Length", strconv.Itoa(len(b)))
			} else if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			_, _ = w.Write(b)
			return true
		}
	}
	for what, tc := range map[string]struct {
		part  part
		serve func(n int, w http.ResponseWriter, r *http.Request) bool
		want  string
	}{
		"other bytes of the same length":  {small, send(noise(4, len(small.packed)), false), "other bytes than the digest names"},
		"an end mark long before the end": {small, send(harmless(len(small.packed)), false), "other bytes than the digest names"},
		"the last byte alone":             {small, send(append(bytes.Clone(small.packed[:len(small.packed)-1]), small.packed[len(small.packed)-1]^1), false), "other bytes than the digest names"},
		"fewer":                           {small, send(small.packed[:len(small.packed)-1], false), "other bytes than the digest names"},
		"fewer, of unknown length":        {small, send(small.packed[:len(small.packed)-1], true), "other bytes than the digest names"},
		"more":                            {small, send(slicesConcat(small.packed, []byte{0}), false), "other bytes than the digest names"},
		"more, of unknown length":         {small, send(slicesConcat(small.packed, []byte{0}), true), "other bytes than the digest names"},
		"nothing":                         {small, send(nil, false), "other bytes than the digest names"},
		"a large one":                     {big, send(noise(5, len(big.packed)), false), "other bytes than the digest names"},
		"packed once more for the way": {small, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "gzip")
			return send(gzipped(t, small.packed), false)(0, w, nil)
		}, "other bytes than the digest names"},
		"a large one, right at the first ask": {big, func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				return false
			}
			return send(append(bytes.Clone(big.packed[:chunkSize+1]), noise(6, len(big.packed)-chunkSize-1)...), false)(n, w, r)
		}, "other bytes than the digest names"},
		"broken off": {small, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", strconv.Itoa(len(small.packed)))
			_, _ = w.Write(small.packed[:10])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "broke off when it was sending layer sha256:"},
		"refused": {small, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		}, "refused the credentials"},
		"not there": {small, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusNotFound)
			return true
		}, "does not have layer sha256:"},
		"unavailable": {small, func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}, "answered with status 502 when it was asked for layer sha256:"},
	} {
		t.Run(what, func(t *testing.T) {
			g, s := newRegistry(t), newServer(t)
			image := g.image(t, []part{tc.part}, nil)
			layer := digest(tc.part.packed)
			g.serve[layer] = tc.serve
			_, err := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
				resp, got, err := request(t, context.WithoutCancel(ctx), http.MethodGet, there.Registry+"/v2/"+repository+"/blobs/"+layer, there.Authorization)
				if err == nil {
					t.Errorf("the scanner sees a whole answer: %d, %d bytes", resp.StatusCode, len(got))
				}
				// Of a large layer that is read a second time, what was verified.
				if len(got) > 0 && (!strings.HasPrefix(what, "a large one, right") || len(got) > chunkSize || !bytes.HasPrefix(tc.part.packed, got)) {
					t.Errorf("the scanner got %d bytes", len(got))
				}
				return fmt.Errorf("the transfer broke: %w", err)
			})).Scan(t.Context(), image)
			f := failure(t, err)
			if !strings.Contains(f.Message, tc.want) {
				t.Errorf("failure is %q, want %q", f.Message, tc.want)
			}
			lasting := tc.want == "other bytes than the digest names"
			if (f.Reason == report.ReasonUnsupported) != lasting || lasting && f.Transient() {
				t.Errorf("failure is %s", f.Reason)
			}
			if !strings.Contains(f.Message, strings.TrimPrefix(g.URL, "http://")) {
				t.Errorf("%q does not name the registry", f.Message)
			}
		})
	}
}

func failure(t *testing.T, err error) *report.Failure {
	t.Helper()
	f, ok := errors.AsType[*report.Failure](err)
	if !ok {
		t.Fatalf("%v is not a failure", err)
	}
	return f
}

// TestAWrongLayerEndsTheScan: the scanner may not even notice, and says that it
// found nothing.
func TestAWrongLayerEndsTheScan(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	p := gzipPart(t, tarOf(t, "a", nil))
	image := g.image(t, []part{p}, nil)
	g.serve[digest(p.packed)] = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write(noise(7, len(p.packed)))
		return true
	}
	_, err := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		_, _ = pull(ctx, there)
		<-ctx.Done()
		return nil
	})).Scan(t.Context(), image)
	if f := failure(t, err); !strings.Contains(f.Message, "other bytes than the digest names") {
		t.Errorf("failure is %q", f.Message)
	}
}

// TestAConfigurationThatClaimsAnotherImagesLayer: scanners keep what they found
// by diff ID, and one's own image may claim anybody's.
func TestAConfigurationThatClaimsAnotherImagesLayer(t *testing.T) {
	victim, own := tarOf(t, "var/lib/dpkg/status", noise(8, 5000)), tarOf(t, "harmless", nil)
	for what, tc := range map[string]struct {
		part part
		want string
	}{
		"packed":        {part{ocispec.MediaTypeImageLayerGzip, gzipped(t, own), digest(victim)}, "unpacks to other content than its configuration names"},
		"plain":         {part{ocispec.MediaTypeImageLayer, own, digest(victim)}, "unpacks to other content"},
		"zstd":          {part{ocispec.MediaTypeImageLayerZstd, zstandard(t, own), digest(victim)}, "unpacks to other content"},
		"two readings":  {part{ocispec.MediaTypeImageLayer, gzipped(t, own), digest(gzipped(t, own))}, "readers disagree"},
		"two, zstd":     {part{ocispec.MediaTypeImageLayer, zstandard(t, own), digest(zstandard(t, own))}, "readers disagree"},
		"cut":           {part{ocispec.MediaTypeImageLayerGzip, gzipped(t, own)[:20], digest(own)}, "cannot be unpacked"},
		"something on":  {part{ocispec.MediaTypeImageLayerGzip, slicesConcat(gzipped(t, own), victim), digest(own)}, "cannot be unpacked"},
		"large, packed": {part{ocispec.MediaTypeImageLayerGzip, large(t).packed, digest(victim)}, "unpacks to other content"},
	} {
		g, s := newRegistry(t), newServer(t)
		image := g.image(t, []part{tc.part}, nil)
		_, err := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
			_, got, err := request(t, context.WithoutCancel(ctx), http.MethodGet, there.Registry+"/v2/"+repository+"/blobs/"+digest(tc.part.packed), there.Authorization)
			if len(got) > 0 || err == nil {
				t.Errorf("%s: the scanner got %d bytes, %v", what, len(got), err)
			}
			return nil
		})).Scan(t.Context(), image)
		if f := failure(t, err); f.Reason != report.ReasonUnsupported || !strings.Contains(f.Message, tc.want) {
			t.Errorf("%s: failure is %s %q", what, f.Reason, f.Message)
		}
	}
}

// TestWhatCannotBeVerifiedIsNotShownToTheScanner at all.
func TestWhatCannotBeVerifiedIsNotShownToTheScanner(t *testing.T) {
	layer := func(manifest map[string]any) map[string]any { return manifest["layers"].([]any)[0].(map[string]any) }
	rootfs := func(config map[string]any) map[string]any { return config["rootfs"].(map[string]any) }
	for want, change := range map[string]func(manifest, config map[string]any){
		"it has 1 layers and its configuration names 2": func(_, c map[string]any) {
			rootfs(c)["diff_ids"] = append(rootfs(c)["diff_ids"].([]any), digest(nil))
		},
		"it has 1 layers and its configuration names 0": func(_, c map[string]any) { delete(rootfs(c), "diff_ids") },
		"outside of the registry":                       func(m, _ map[string]any) { layer(m)["urls"] = []string{"https://evil.example/layer"} },
		"its manifest holds the content of":             func(m, _ map[string]any) { layer(m)["data"] = "aGFybWxlc3M=" },
		"of a type that cannot be verified":             func(m, _ map[string]any) { layer(m)["mediaType"] = ocispec.MediaTypeImageLayerGzip + "+encrypted" },
		"a size of 0":                                   func(m, _ map[string]any) { layer(m)["size"] = 0 }, // its header alone would be the whole answer
		"a size of -1":                                  func(m, _ map[string]any) { layer(m)["size"] = -1 },
		"a digest that is no SHA-256":                   func(m, _ map[string]any) { layer(m)["digest"] = "sha512:" + strings.Repeat("a", 128) },
		"by something else than a SHA-256":              func(_, c map[string]any) { rootfs(c)["diff_ids"] = []any{"../../x"} },
		"contradicts itself about its layer": func(m, c map[string]any) {
			m["layers"] = append(m["layers"].([]any), layer(m))
			rootfs(c)["diff_ids"] = append(rootfs(c)["diff_ids"].([]any), digest(nil))
		},
		"it says rootfs more than once": func(_, c map[string]any) {
			c["raw"] = fmt.Sprintf(`{"rootfs":{"diff_ids":[%q]},"RootFS":{"diff_ids":[%q]}}`, digest(nil), digest(nil))
		},
		"it says diff_ids more than once": func(_, c map[string]any) {
			c["raw"] = fmt.Sprintf(`{"rootfs":{"diff_ids":[%q],"diff_ids":[%q]}}`, digest(nil), digest(nil))
		},
		"it says layers more than once": func(m, _ map[string]any) {
			m["spoil"] = func(b []byte) []byte { return append([]byte(`{"layers":[],`), b[1:]...) }
		},
		"it says digest more than once":  func(m, _ map[string]any) { layer(m)["Digest"] = digest(nil) },
		"not that of a container image":  func(m, _ map[string]any) { m["layers"] = nil; m["config"] = map[string]any{} },
		"its configuration is not that":  func(_, c map[string]any) { c["raw"] = "{}" },
		"its configuration is ambiguous": func(_, c map[string]any) { c["raw"] = "[1]" },
		"larger than 4194304 bytes": func(m, _ map[string]any) {
			m["config"] = descriptor(ocispec.MediaTypeImageConfig, digest(nil), maxDocument+1)
		},
		"does not have the image's configuration": func(m, _ map[string]any) {
			m["config"] = descriptor(ocispec.MediaTypeImageConfig, digest(noise(9, 9)), 9)
		},
	} {
		if want == "not that of a container image" {
			continue // below: a manifest needs some configuration to be pushed
		}
		refused(t, want, change, nil)
	}
	refused(t, "its manifest is not that of a container image", func(m, _ map[string]any) {
		m["spoil"] = func([]byte) []byte { return []byte(`{"schemaVersion":2,"layers":[]}`) }
	}, nil)
	refused(t, "other bytes than the digest names (manifest", nil, func(g *registry, i backend.Image) {
		g.content[i.Digest] = append(g.content[i.Digest], ' ')
	})
	refused(t, "other bytes than the digest names (configuration", nil, func(g *registry, i backend.Image) {
		var m ocispec.Manifest
		if err := json.Unmarshal(g.content[i.Digest], &m); err != nil {
			t.Fatal(err)
		}
		g.content[m.Config.Digest.String()] = bytes.ToUpper(g.content[m.Config.Digest.String()])
	})
	refused(t, "its manifest is larger than", nil, func(g *registry, i backend.Image) { g.content[i.Digest] = make([]byte, maxDocument+1) })
}

func refused(t *testing.T, want string, change func(manifest, config map[string]any), spoil func(*registry, backend.Image)) {
	t.Helper()
	g, s := newRegistry(t), newServer(t)
	image := g.image(t, []part{gzipPart(t, tarOf(t, "a", nil))}, change)
	if spoil != nil {
		spoil(g, image)
	}
	_, err := s.Guard(adapter(func(context.Context, backend.Image) error {
		t.Errorf("%q: the scanner was asked", want)
		return nil
	})).Scan(t.Context(), image)
	if f := failure(t, err); !strings.Contains(f.Message, want) || f.Transient() || len(f.Message) > 600 {
		t.Errorf("failure is %s %q, want %q", f.Reason, f.Message, want)
	}
}

func TestATokenOpensOneImageForOneScan(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	p, q := gzipPart(t, tarOf(t, "a", []byte("mine"))), gzipPart(t, tarOf(t, "b", []byte("theirs")))
	mine, theirs := g.image(t, []part{p}, nil), g.image(t, []part{q}, nil)
	unrelated := g.put([]byte("in the same repository"))
	real := mine.Authorization
	var old string
	status := func(ctx context.Context, method, path, authorization string, want int) []byte {
		t.Helper()
		resp, b, err := request(t, ctx, method, s.URL()+path, authorization)
		if err != nil || resp.StatusCode != want {
			t.Errorf("%s %s: %v, %v, want %d", method, path, resp, err, want)
		}
		return b
	}
	base := "/v2/" + repository
	_, err := s.Guard(adapter(func(ctx context.Context, a backend.Image) error {
		old = a.Authorization
		_, err := s.Guard(adapter(func(ctx context.Context, b backend.Image) error {
			if a.Authorization == b.Authorization {
				t.Error("two scans have one token")
			}
			status(ctx, http.MethodGet, base+"/manifests/"+mine.Digest, b.Authorization, http.StatusNotFound)
			status(ctx, http.MethodGet, base+"/blobs/"+digest(p.packed), b.Authorization, http.StatusNotFound)
			status(ctx, http.MethodGet, base+"/manifests/"+theirs.Digest, b.Authorization, http.StatusOK)
			return nil
		})).Scan(ctx, theirs)
		if err != nil {
			t.Error(err)
		}
		for _, none := range []string{"", real, "Basic " + base64.StdEncoding.EncodeToString([]byte("imagegate:")), "Bearer x"} {
			status(ctx, http.MethodGet, "/v2/", none, http.StatusUnauthorized)
			status(ctx, http.MethodGet, base+"/manifests/"+mine.Digest, none, http.StatusUnauthorized)
		}
		status(ctx, http.MethodGet, "/v2/", old, http.StatusOK)
		status(ctx, http.MethodGet, base+"/manifests/1.4", old, http.StatusOK)
		status(ctx, http.MethodGet, base+"/manifests/1.5", old, http.StatusNotFound)
		status(ctx, http.MethodGet, base+"/manifests/", old, http.StatusNotFound)
		status(ctx, http.MethodGet, base+"/manifests/"+theirs.Digest, old, http.StatusNotFound)
		status(ctx, http.MethodGet, base+"/blobs/"+unrelated, old, http.StatusNotFound)
		status(ctx, http.MethodGet, "/v2/team/other/manifests/"+mine.Digest, old, http.StatusNotFound)
		status(ctx, http.MethodGet, base+"/tags/list", old, http.StatusNotFound)
		status(ctx, http.MethodGet, base+"/referrers/"+mine.Digest, old, http.StatusNotFound)
		status(ctx, http.MethodGet, "/", old, http.StatusNotFound)
		status(ctx, http.MethodPut, base+"/manifests/1.4", old, http.StatusMethodNotAllowed)
		status(ctx, http.MethodDelete, base+"/manifests/"+mine.Digest, old, http.StatusMethodNotAllowed)
		status(ctx, http.MethodPost, base+"/blobs/uploads/", old, http.StatusMethodNotAllowed)

		resp, b, err := request(t, ctx, http.MethodHead, s.URL()+base+"/blobs/"+digest(p.packed), old)
		if err != nil || resp.ContentLength != int64(len(p.packed)) || len(b) != 0 || g.times(digest(p.packed)) != 0 {
			t.Errorf("HEAD of a layer: %v, %v", resp, err)
		}
		resp, b, err = request(t, ctx, http.MethodHead, s.URL()+base+"/manifests/"+mine.Digest, old)
		if err != nil || resp.Header.Get("Docker-Content-Digest") != mine.Digest || resp.Header.Get("Content-Type") != mine.MediaType || len(b) != 0 {
			t.Errorf("HEAD of the manifest: %v, %v", resp, err)
		}
		// A part would be one that nobody verified.
		resp, b, err = request(t, ctx, http.MethodGet, s.URL()+base+"/blobs/"+digest(p.packed), old, "Range", "bytes=5-")
		if err != nil || resp.StatusCode != http.StatusOK || !bytes.Equal(b, p.packed) {
			t.Errorf("a range: %v, %v", resp, err)
		}
		return nil
	})).Scan(t.Context(), mine)
	if err != nil {
		t.Fatal(err)
	}
	status(t.Context(), http.MethodGet, "/v2/", old, http.StatusUnauthorized)
	status(t.Context(), http.MethodGet, base+"/manifests/"+mine.Digest, old, http.StatusUnauthorized)
	if len(s.sessions) != 0 {
		t.Errorf("%d scans are remembered", len(s.sessions))
	}
}

// TestTheRegistrysCredentialsStayHere: neither the scanner nor the host that the
// registry keeps its blobs on sees them.
func TestTheRegistrysCredentialsStayHere(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	p := large(t)
	image := g.image(t, []part{p}, nil)
	var mu sync.Mutex
	var seen []string
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, fmt.Sprint(r.Header, r.URL))
		mu.Unlock()
		_, _ = w.Write(p.packed)
	}))
	defer elsewhere.Close()
	s.ways.For("").TLSClientConfig.RootCAs = elsewhere.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	g.serve[digest(p.packed)] = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, elsewhere.URL+"/store/x", http.StatusTemporaryRedirect)
		return true
	}
	secret := strings.TrimPrefix(image.Authorization, "Basic ")
	_, err := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		if told := fmt.Sprintf("%+v", there); strings.Contains(told, secret) || strings.Contains(told, password) {
			t.Errorf("the scanner is told %s", told)
		}
		got, err := pull(ctx, there)
		if err == nil && !bytes.Equal(got[0], p.packed) {
			err = errors.New("another layer")
		}
		return err
	})).Scan(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprint(seen); len(seen) != 2 || strings.Contains(all, "Authorization") || strings.Contains(all, secret) || strings.Contains(all, contentMark) {
		t.Errorf("the other host saw %s", all)
	}
}

// TestOneSentenceForARegistryThatCannotBeReached, which is that of the look-up.
func TestOneSentenceForARegistryThatCannotBeReached(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	foreign := httptest.NewUnstartedServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = log.New(io.Discard, "", 0)
	foreign.StartTLS()
	defer foreign.Close()
	resets := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}))
	defer resets.Close()
	g, s := newRegistry(t), newServer(t)
	image := g.image(t, []part{gzipPart(t, nil)}, nil)
	for what, url := range map[string]string{
		"closed port": closed.URL, "unknown name": "http://name.invalid", "unknown CA": foreign.URL,
		"not TLS": strings.Replace(g.URL, "http:", "https:", 1), "reset": resets.URL,
	} {
		image.Registry = url
		_, err := s.Guard(adapter(nil)).Scan(t.Context(), image)
		f := failure(t, err)
		_, host, _ := strings.Cut(url, "://")
		if want := "registry " + host + " cannot be reached; the provider's log says why"; f.Reason != report.ReasonUnavailable || f.Message != want {
			t.Errorf("%s: %s %q, want %q", what, f.Reason, f.Message, want)
		}
		if f.Err == nil {
			t.Errorf("%s: the log learns nothing", what)
		}
	}
}

func TestPlainHTTPOnlyWhereTheRegistryIsSpokenToSo(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	p := gzipPart(t, nil)
	image := g.image(t, []part{p}, nil)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	defer other.Close()
	g.serve[digest(p.packed)] = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		return true
	}
	_, err := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		_, err := pull(ctx, there)
		return err
	})).Scan(t.Context(), image)
	if f := failure(t, err); f.Reason != report.ReasonUnavailable || !strings.Contains(f.Message, "cannot be reached") {
		t.Errorf("failure is %s %q", f.Reason, f.Message)
	}
	image.Registry = strings.Replace(image.Registry, "http://", "https://", 1)
	if _, err = s.Guard(adapter(nil)).Scan(t.Context(), image); !failure(t, err).Transient() {
		t.Errorf("a registry that speaks plain HTTP unasked: %v", err)
	}
}

// TestATransferThatWorksInTheEndIsNoFailure: scanners try again.
func TestATransferThatWorksInTheEndIsNoFailure(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	p := gzipPart(t, tarOf(t, "a", nil))
	image := g.image(t, []part{p}, nil)
	g.serve[digest(p.packed)] = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n == 1
	}
	said := &report.Failure{Reason: report.ReasonInternal, Message: "cannot read " + s.URL() + "/v2/"}
	b := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		if _, err := pull(ctx, there); err == nil {
			t.Error("the first transfer worked")
		}
		if _, err := pull(ctx, there); err != nil {
			return err
		}
		return said
	}))
	_, err := b.Scan(t.Context(), image)
	// The scanner's own failure, in terms of the registry.
	if f := failure(t, err); f.Reason != report.ReasonInternal || f.Message != "cannot read "+g.URL+"/v2/" {
		t.Errorf("failure is %s %q", f.Reason, f.Message)
	}
}

// TestAReportWithoutALayerThatWasAskedForDoesNotCount: a scanner that passes over
// what it could not read would list nothing of it.
func TestAReportWithoutALayerThatWasAskedForDoesNotCount(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	p := gzipPart(t, tarOf(t, "a", nil))
	image := g.image(t, []part{p}, nil)
	g.serve[digest(p.packed)] = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	b := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		if _, err := pull(ctx, there); err == nil {
			t.Error("the transfer worked")
		}
		return nil
	}))
	scan, err := b.Scan(t.Context(), image)
	if f := failure(t, err); scan != nil || !f.Transient() || !strings.Contains(f.Message, "status 503") {
		t.Errorf("%+v, %s %q", scan, f.Reason, f.Message)
	}
}

// TestALayerThatWasHandedOnIsNotMissed although a second transfer of it failed.
func TestALayerThatWasHandedOnIsNotMissed(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	p := large(t) // is read again each time
	image := g.image(t, []part{p}, nil)
	g.serve[digest(p.packed)] = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n > 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n > 2
	}
	b := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		_, err := pull(ctx, there)
		if _, again := pull(ctx, there); again == nil {
			t.Error("the second transfer worked")
		}
		return err
	}))
	if _, err := b.Scan(t.Context(), image); err != nil {
		t.Error(err)
	}
}

// TestAnEmptyPassword: some registries take a token as the user alone.
func TestAnEmptyPassword(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	g.password = ""
	image := g.image(t, []part{gzipPart(t, tarOf(t, "a", nil))}, nil)
	image.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"))
	_, err := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		_, err := pull(ctx, there)
		return err
	})).Scan(t.Context(), image)
	if err != nil {
		t.Error(err)
	}
}

func TestHowLongARegistryAsksToBeLeftAlone(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	p := gzipPart(t, tarOf(t, "a", nil))
	image := g.image(t, []part{p}, nil)
	g.serve[digest(p.packed)] = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	_, err := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		_, err := pull(ctx, there)
		return err
	})).Scan(t.Context(), image)
	if f := failure(t, err); !f.Transient() || f.RetryAfter != time.Hour {
		t.Errorf("failure is %s %q after %s", f.Reason, f.Message, f.RetryAfter)
	}
}

// TestHTTPS: the address that scanners are told may be another one than the
// listener's, with a certificate.
func TestHTTPS(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	ways := transport.NewSet(nil, time.Minute, 8)
	defer ways.CloseIdle()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	s, err := New(t.Context(), Options{Listen: address, URL: "https://" + address, TLS: certified.TLS, Ways: ways, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	g := newRegistry(t)
	p := large(t)
	image := g.image(t, []part{p}, nil)
	_, err = s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, there.Registry+"/v2/"+repository+"/blobs/"+digest(p.packed), nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", there.Authorization)
		resp, err := certified.Client().Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		got, err := io.ReadAll(resp.Body)
		if err == nil && !bytes.Equal(got, p.packed) {
			err = errors.New("another layer")
		}
		return err
	})).Scan(t.Context(), image)
	if err != nil {
		t.Error(err)
	}
}

func TestAnAbandonedScanBreaksItsTransfersOff(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	p := gzipPart(t, tarOf(t, "a", nil))
	image := g.image(t, []part{p}, nil)
	arrived, gone := make(chan struct{}), make(chan struct{})
	g.serve[digest(p.packed)] = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		_, _ = w.Write(p.packed[:5])
		_ = http.NewResponseController(w).Flush()
		close(arrived)
		<-r.Context().Done() // the provider has hung up
		close(gone)
		return true
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
		_, err := pull(context.WithoutCancel(ctx), there)
		return err
	})).Scan(ctx, image)
	if err == nil {
		t.Error("an abandoned scan has a report")
	}
	<-gone
}

func TestManyScansAtOnce(t *testing.T) {
	g, s := newRegistry(t), newServer(t)
	big := large(t)
	var wg sync.WaitGroup
	for i := range 6 {
		small := gzipPart(t, tarOf(t, "a", noise(uint64(20+i), 1<<20)))
		image := g.image(t, []part{small, big}, nil)
		wg.Go(func() {
			_, err := s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
				var all sync.WaitGroup
				var errs [2]error
				for i := range errs {
					all.Go(func() {
						got, err := pull(ctx, there)
						if err == nil && (!bytes.Equal(got[0], small.packed) || !bytes.Equal(got[1], big.packed)) {
							err = errors.New("other layers")
						}
						errs[i] = err
					})
				}
				all.Wait()
				return errors.Join(errs[:]...)
			})).Scan(t.Context(), image)
			if err != nil {
				t.Errorf("scan %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if !s.work.kept.TryAcquire(keepAll) {
		t.Error("something is kept after the scans")
	}
}

func TestNewRefuses(t *testing.T) {
	for url, ok := range map[string]bool{
		"": true, "http://a:1": true, "https://a": true, "a:1": false, "http://a/": false, "http://a/v2": false, "http://u:p@a": false,
		"ftp://a": false, "http://a?x": false, "http://": false,
	} {
		if err := CheckURL(url); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
	for want, o := range map[string]Options{
		"url: ":                          {URL: "a"},
		"url: https needs a certificate": {URL: "https://a"},
		"listen: ":                       {Listen: "256.0.0.1:x"},
	} {
		if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
	for _, header := range []string{"Basic !", "Digest x", "Bearer ", "Basic " + base64.StdEncoding.EncodeToString([]byte("nocolon"))} {
		if _, err := transport.Authenticator(header); err == nil || strings.Contains(err.Error(), header) {
			t.Errorf("%q: %v", header, err)
		}
	}
	if a, err := transport.Authenticator(""); err != nil || a != authn.Anonymous {
		t.Errorf("no header: %v, %v", a, err)
	}
}

// TestATokenServerWithAPrivateAddress is read through when it is listed.
func TestATokenServerWithAPrivateAddress(t *testing.T) {
	g := newRegistry(t)
	image := g.image(t, []part{gzipPart(t, nil)}, nil)
	door := transporttest.NewDoor(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.SetBasicAuth(user, password)
		g.ServeHTTP(w, r)
	}))
	image.Registry = door.Registry.URL
	image.Authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(transporttest.User+":"+transporttest.Password))
	scan := func(hosts *transport.Hosts) error {
		ways := transport.NewSet(hosts, time.Minute, 8)
		defer ways.CloseIdle()
		s, err := New(t.Context(), Options{Ways: ways, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, err = s.Guard(adapter(func(ctx context.Context, there backend.Image) error {
			_, err := pull(ctx, there)
			return err
		})).Scan(t.Context(), image)
		return err
	}
	f := failure(t, scan(door.Hosts(t)))
	if f.Reason != report.ReasonUnavailable || !strings.Contains(f.Message, door.TokenHost()) || !strings.Contains(f.Message, "registry.tokenHosts") {
		t.Errorf("not listed: %s %q", f.Reason, f.Message)
	}
	if n := door.Asked.Load(); n != 0 {
		t.Errorf("a token server that is not listed was asked %d times", n)
	}
	if err := scan(door.Hosts(t, door.TokenHost())); err != nil || door.Asked.Load() == 0 {
		t.Errorf("listed: %v, asked %d times", err, door.Asked.Load())
	}
}
