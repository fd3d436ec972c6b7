package images

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User is the numeric user and group of all images. A number, since the kubelet
// cannot tell of a name whether it is root's.
const User = 65532

// folder is where the program is, and all of PATH: `kubectl exec POD -- provider
// queue list` finds it.
const folder = "usr/local/bin"

// Release says of what the images are made. All of it is in the digests.
type Release struct {
	// Version is the images' tag and the chart's version: 1.2.3.
	Version string
	// Revision is the commit; empty is none.
	Revision string
	// Created is the time of all files. The zero time is 1970.
	Created time.Time
}

// about is what the labels say of each program.
var about = map[string]string{
	"provider": "Gatekeeper's external data provider: has images scanned and answers with their reports",
	"mutator":  "Mutating webhook that pins the images of Pods to digests",
	"scanner":  "Scan worker (Grype), behind the Harbor Pluggable Scanner API",
}

const source = "https://github.com/imagegate/imagegate"

func (r Release) created() time.Time {
	if r.Created.IsZero() {
		return time.Unix(0, 0).UTC()
	}
	return r.Created.UTC().Truncate(time.Second)
}

// labels are of a program's image, and annotations of its index.
func (r Release) labels(program string) map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":       "imagegate-" + program,
		"org.opencontainers.image.description": about[program],
		"org.opencontainers.image.source":      source,
		"org.opencontainers.image.url":         source,
		"org.opencontainers.image.vendor":      "imagegate",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     r.Version,
		"org.opencontainers.image.created":     r.created().Format(time.RFC3339),
	}
	if r.Revision != "" {
		labels["org.opencontainers.image.revision"] = r.Revision
	}
	return labels
}

// base is the layer that all images have in common: whom to trust, who runs, and
// under which licence. There is no shell, no /tmp and nothing that may be written:
// what a program writes is a volume's.
func (r Release) base(licence []byte) (v1.Layer, error) {
	roots, err := authorities()
	if err != nil {
		return nil, fmt.Errorf("collect the certificate authorities: %w", err)
	}
	return layer(r.created(),
		file{name: "etc/group", content: fmt.Appendf(nil, "root:x:0:\nimagegate:x:%d:\n", User)},
		file{name: "etc/passwd", content: fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nimagegate:x:%[1]d:%[1]d:imagegate:/nonexistent:/sbin/nologin\n", User)},
		file{name: "etc/ssl/certs/ca-certificates.crt", content: roots},
		file{name: "usr/share/doc/imagegate/LICENSE", content: licence},
	)
}

// Image makes the image of a program for linux and an architecture, out of its
// binary.
func (r Release) Image(program, arch, binary string, licence []byte) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("image of %s: %w", program, err)
	}
	base, err := r.base(licence)
	if err != nil {
		return nil, fmt.Errorf("image of %s: %w", program, err)
	}
	own, err := layer(r.created(), file{name: folder + "/" + program, content: content, executable: true})
	if err != nil {
		return nil, fmt.Errorf("image of %s: %w", program, err)
	}
	created := v1.Time{Time: r.created()}
	add := func(l v1.Layer, by string) mutate.Addendum {
		return mutate.Addendum{Layer: l, History: v1.History{Created: created, CreatedBy: by}}
	}
	scratch := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(scratch, add(base, "certificate authorities, user and licence"), add(own, program))
	if err != nil {
		return nil, fmt.Errorf("image of %s: %w", program, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("image of %s: %w", program, err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, created
	user := strconv.Itoa(User)
	config.Config = v1.Config{
		User:       user + ":" + user,
		Env:        []string{"PATH=/" + folder},
		Entrypoint: []string{"/" + folder + "/" + program},
		Cmd:        command(program),
		WorkingDir: "/",
		Labels:     maps.Clone(r.labels(program)),
		StopSignal: "SIGTERM",
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, fmt.Errorf("image of %s: %w", program, err)
	}
	return img, nil
}

// command is what a program does unless told.
func command(program string) []string {
	if program == "mutator" {
		return nil // it does one thing only
	}
	return []string{"serve"}
}
