// Package render renders charts as Helm 3 and Helm 4 do, without a cluster.
package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	chart3 "helm.sh/helm/v3/pkg/chart"
	loader3 "helm.sh/helm/v3/pkg/chart/loader"
	util3 "helm.sh/helm/v3/pkg/chartutil"
	engine3 "helm.sh/helm/v3/pkg/engine"
	common4 "helm.sh/helm/v4/pkg/chart/common"
	util4 "helm.sh/helm/v4/pkg/chart/common/util"
	chart4 "helm.sh/helm/v4/pkg/chart/v2"
	loader4 "helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil4 "helm.sh/helm/v4/pkg/chart/v2/util"
	engine4 "helm.sh/helm/v4/pkg/engine"
)

// Release is what a chart is rendered for.
type Release struct {
	Name, Namespace string
	Upgrade         bool
}

// Rendered is what comes of it.
type Rendered struct {
	// Files are the manifests by the template that they are of, without empty ones.
	Files map[string]string
	// Notes are what Helm prints.
	Notes string
}

// All is all manifests in one text.
func (r *Rendered) All() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		fmt.Fprintf(&b, "---\n# Source: %s\n%s\n", name, r.Files[name])
	}
	return b.String()
}

// Charts is one chart, loaded by both.
type Charts struct {
	v3 *chart3.Chart
	v4 *chart4.Chart
}

// Load reads the chart in dir.
func Load(dir string) (*Charts, error) {
	v3, err := loader3.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("load %s with Helm 3: %w", dir, err)
	}
	v4, err := loader4.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("load %s with Helm 4: %w", dir, err)
	}
	return &Charts{v3, v4}, nil
}

// Helm3 renders as Helm 3 does. An error is what its user reads.
func (c *Charts) Helm3(values map[string]any, r Release) (*Rendered, error) {
	if err := util3.ProcessDependencies(c.v3, values); err != nil {
		return nil, err
	}
	o := util3.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: !r.Upgrade, IsUpgrade: r.Upgrade}
	all, err := util3.ToRenderValues(c.v3, values, o, util3.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine3.Render(c.v3, all)
	if err != nil {
		return nil, err
	}
	return sorted(files), nil
}

// Helm4 renders as Helm 4 does.
func (c *Charts) Helm4(values map[string]any, r Release) (*Rendered, error) {
	if err := chartutil4.ProcessDependencies(c.v4, values); err != nil {
		return nil, err
	}
	o := common4.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: !r.Upgrade, IsUpgrade: r.Upgrade}
	all, err := util4.ToRenderValues(c.v4, values, o, common4.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine4.Render(c.v4, all)
	if err != nil {
		return nil, err
	}
	return sorted(files), nil
}

func sorted(files map[string]string) *Rendered {
	r := &Rendered{Files: map[string]string{}}
	for name, text := range files {
		switch {
		case strings.HasSuffix(name, "/NOTES.txt"):
			r.Notes = text
		case strings.TrimSpace(text) != "":
			r.Files[name] = text
		}
	}
	return r
}
