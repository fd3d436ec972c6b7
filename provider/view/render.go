package view

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/version"
)

//go:embed assets templates
var files embed.FS

const (
	// maxText bounds one text of somebody else's, in bytes.
	maxText = 1024
	// maxCell bounds the names that a cell lists.
	maxCell = 8
)

// page is what all pages have.
type page struct {
	Title string
	// File says that it is one that stands by itself: it loads nothing, and links
	// lead outside only.
	File   bool
	Style  template.CSS
	Assets assetLinks
	Nav    []navLink
	// Ages say how old what is shown is.
	Ages []string
	Now  time.Time
}

// Version is that of the program that made the page.
func (p *page) Version() string { return version.Number }

// FilePolicy is the Content-Security-Policy of a page in a file: nothing but its own
// style.
func (p *page) FilePolicy() string {
	sum := sha256.Sum256([]byte(p.Style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}

type navLink struct {
	Name, Link string
	Current    bool
}

// assetLinks are where pages load what is in assets.
type assetLinks struct {
	Style   string
	Scripts []string
}

// asset is one file that pages load. Its name has a hash of its content, so that a
// browser may keep it.
type asset struct {
	name, kind string
	content    []byte
}

// renderer makes pages of the templates.
type renderer struct {
	style  template.CSS
	links  assetLinks
	assets map[string]asset
	pages  map[string]*template.Template
}

// The pages, by their templates.
const (
	imageTemplate = "image.html"
)

func newRenderer() (*renderer, error) {
	r := &renderer{assets: map[string]asset{}, pages: map[string]*template.Template{}}
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		return nil, fmt.Errorf("reading the pages' files: %w", err)
	}
	for _, e := range entries {
		if err := r.addAsset(e.Name()); err != nil {
			return nil, fmt.Errorf("reading the pages' files: %w", err)
		}
	}
	layout, err := template.New("layout.html").Funcs(functions()).ParseFS(files, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the pages: %w", err)
	}
	entries, err = fs.ReadDir(files, "templates")
	if err != nil {
		return nil, fmt.Errorf("reading the pages: %w", err)
	}
	for _, e := range entries {
		t, err := layout.Clone()
		if err == nil {
			t, err = t.ParseFS(files, "templates/"+e.Name())
		}
		if err != nil {
			return nil, fmt.Errorf("parsing the pages: %w", err)
		}
		r.pages[e.Name()] = t
	}
	return r, nil
}

func (r *renderer) addAsset(name string) error {
	content, err := files.ReadFile("assets/" + name)
	if err != nil {
		return err
	}
	const hashed = 12
	sum := sha256.Sum256(content)
	base, ext := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
	a := asset{name: base + "." + hex.EncodeToString(sum[:])[:hashed] + ext, content: content}
	link := "/assets/" + a.name
	switch ext {
	case ".css":
		a.kind = "text/css; charset=utf-8"
		r.links.Style = link
		r.style = template.CSS(content) //nolint:gosec // our own file, and no input
	case ".js":
		a.kind = "text/javascript; charset=utf-8"
		r.links.Scripts = append(r.links.Scripts, link)
	default:
		return fmt.Errorf("%s: nobody knows of what type it is", name)
	}
	r.assets[a.name] = a
	return nil
}

// render makes the whole page, so that an error leaves none half made.
func (r *renderer) render(w io.Writer, name string, data any) error {
	t, ok := r.pages[name]
	if !ok {
		return errors.New("there is no page " + name)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", data); err != nil {
		return fmt.Errorf("making the page %s: %w", name, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// moment is a time with the one that it is compared with.
type moment struct{ At, Now time.Time }

func functions() template.FuncMap {
	return template.FuncMap{
		"clean":      clean,
		"severities": report.Severities,
		"stamp":      stamp,
		"iso":        func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"age":        age,
		"when":       func(at, now time.Time) moment { return moment{at, now} },
		"statusSign": statusSign,
	}
}

// clean is a text of somebody else's without what could not be seen.
func clean(s string) string { return report.Clean(s, maxText) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// age says how long ago a time was, in its largest unit.
func age(t, now time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		return "in the future"
	}
	const day = 24 * time.Hour
	for _, u := range []struct {
		one  time.Duration
		name string
	}{{day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		switch n := int(d / u.one); {
		case n == 1:
			return "1 " + u.name + " ago"
		case n > 1:
			return fmt.Sprintf("%d %ss ago", n, u.name)
		}
	}
	return "less than a minute ago"
}

// statusSign is told apart without colour.
func statusSign(s report.Status) string {
	switch s {
	case report.Accepted:
		return "\u2713"
	case report.Rejected:
		return "\u2717"
	case report.NotAvailable:
		return "\u2026"
	default:
		return "!"
	}
}

// outside returns the first of the links that a browser may follow, or nothing.
func outside(links []string) string {
	for _, l := range links {
		if u, err := url.Parse(l); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil {
			return u.String()
		}
	}
	return ""
}
