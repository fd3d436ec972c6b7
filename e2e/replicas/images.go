package replicas

import (
	"context"
	"fmt"
	"time"
)

// Push pushes n images that nobody has seen yet, over as many repositories, below
// a name of their own. All are to be accepted.
func (f *Fleet) Push(ctx context.Context, name string, n, repositories int) ([]Image, error) {
	images := make([]Image, n)
	for i := range images {
		pushed, err := f.Registry.PushName(ctx, fmt.Sprintf("%s/app-%d", name, i%repositories), fmt.Sprintf("v%d", i), fmt.Sprintf("%s %d", name, i))
		if err != nil {
			return nil, err
		}
		images[i] = Image{Pushed: pushed, Want: Accepted}
	}
	return images, nil
}

// Plant has some of the images be bad ones: of ten each, one has a critical
// finding, and one breaks the scanner.
func (f *Fleet) Plant(images []Image, takes time.Duration) {
	for i := range images {
		switch i % 10 {
		case 3:
			images[i].Want = Rejected
			f.Scanner.Plan(images[i].Digest, Behaviour{Takes: takes, Findings: 3})
		case 7:
			images[i].Want = Failed
			f.Scanner.Plan(images[i].Digest, Behaviour{Takes: takes / 4, Fails: true})
		}
	}
}

// PodsOf makes pods of each image, in as many namespaces.
func PodsOf(images []Image, pods, namespaces int) (list []Pod) {
	for i := range pods {
		for j, image := range images {
			list = append(list, Pod{Namespace: fmt.Sprintf("team-%d", (i+j)%namespaces), Image: image})
		}
	}
	return list
}

// Digests are those of the images.
func Digests(images []Image) []string {
	list := make([]string, len(images))
	for i, image := range images {
		list[i] = image.Digest
	}
	return list
}
