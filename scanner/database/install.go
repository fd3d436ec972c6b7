package database

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/anchore/clio"
	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/db/v6/distribution"
	"github.com/anchore/grype/grype/db/v6/installation"

	"github.com/imagegate/imagegate/scanner/advisories"
)

const (
	fileName         = v6.VulnerabilityDBFileName
	generationPrefix = "gen-"
	// pointerFile holds the kind and the directory of the database in use.
	pointerFile = "current"
)

func (d *Database) curator(cfg installation.Config) (v6.Curator, error) {
	client, err := distribution.NewClient(d.distributionConfig())
	if err != nil {
		return nil, fmt.Errorf("prepare the download of databases: %w", err)
	}
	c, err := installation.NewCurator(cfg, watched{client, d})
	if err != nil {
		return nil, fmt.Errorf("prepare the database directory: %w", err)
	}
	return c, nil
}

// install puts a file or URL into a new generation, checks it and switches to
// it. On failure the current database stays in use.
func (d *Database) install(reference string, sampleToo bool) (err error) {
	root, err := os.MkdirTemp(d.cfg.Dir, generationPrefix)
	if err != nil {
		return fmt.Errorf("make a directory for a database: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(root)
		}
	}()
	curator, err := d.curator(d.installConfig(root))
	if err != nil {
		return err
	}
	if err := curator.Import(reference); err != nil {
		return fmt.Errorf("install the vulnerability database from %s: %w", reference, err)
	}
	g, err := d.open(root)
	if err != nil {
		return err
	}
	kind := g.status.Kind
	if kind == KindSample && !sampleToo {
		return fmt.Errorf("the vulnerability database from %s is the SAMPLE, which is used only when it is asked for", reference)
	}
	if age := time.Since(g.status.BuiltAt); d.cfg.MaxAge > 0 && kind != KindSample && age > d.cfg.MaxAge {
		return fmt.Errorf("the vulnerability database from %s was built %s ago; %s is the limit", reference, age.Round(time.Hour), d.cfg.MaxAge)
	}
	if err := d.point(filepath.Base(root), kind); err != nil {
		return err
	}
	d.use(g)
	return nil
}

// point records the database in use for the next start, atomically.
func (d *Database) point(name, kind string) error {
	tmp := filepath.Join(d.cfg.Dir, pointerFile+".new")
	if err := os.WriteFile(tmp, []byte(kind+" "+name+"\n"), 0o600); err != nil {
		return fmt.Errorf("record which database is in use: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(d.cfg.Dir, pointerFile)); err != nil {
		return fmt.Errorf("record which database is in use: %w", err)
	}
	return nil
}

// retryEvery is how soon an update is tried again while no scan can run.
const retryEvery = time.Minute

// overdue is after how long an update is worth a warning. Neither Grype nor what
// it downloads with gives up a transfer that has stopped.
const overdue = 30 * time.Minute

// updateOnce is Update, with a warning whenever it has taken too long.
func (d *Database) updateOnce() error {
	done := make(chan struct{})
	defer close(done)
	start := time.Now()
	go func() {
		tick := time.NewTicker(overdue)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				d.log.Warn("an update of the vulnerability database does not end; if it does not go on, restart the worker",
					"running_minutes", int(time.Since(start).Minutes()))
			}
		}
	}()
	d.at(Progress{State: Looking})
	_, err := d.update()
	if err != nil {
		d.at(Progress{State: Failed, Error: err.Error()})
	} else {
		d.at(Progress{State: Done})
	}
	return err
}

// Run removes what earlier runs left, and keeps the database fresh until ctx
// ends. A download that is under way is not interrupted (the library cannot),
// so callers that want to end should not wait for Run.
func (d *Database) Run(ctx context.Context) {
	d.sweep()
	if d.cfg.Beside != "" && !d.cfg.Sample && d.cfg.Import == "" {
		d.follow(ctx)
		return
	}
	if !d.cfg.AutoUpdate || d.cfg.Sample || d.cfg.Import != "" {
		return
	}
	for {
		wait := d.cfg.Interval
		if err := d.updateOnce(); err != nil {
			d.log.Error("the vulnerability database could not be updated", "error", err)
		}
		if d.Ready() != nil {
			wait = min(wait, retryEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// Update asks for a newer database and installs it. It says whether it did.
func (d *Database) Update() (bool, error) {
	client, err := distribution.NewClient(d.distributionConfig())
	if err != nil {
		return false, fmt.Errorf("prepare the download of databases: %w", err)
	}
	archive, err := client.IsUpdateAvailable(d.description())
	if err != nil {
		return false, fmt.Errorf("look for a new database: %w", err)
	}
	if archive == nil {
		return false, nil
	}
	if archive.Checksum == "" {
		return false, fmt.Errorf("the announced database has no checksum")
	}
	url, err := client.ResolveArchiveURL(*archive)
	if err != nil {
		return false, fmt.Errorf("find the new database: %w", err)
	}
	if err := d.install(url, false); err != nil {
		return false, err
	}
	return true, nil
}

// description is what the server compares with; nil when anything is better
// than what is here.
func (d *Database) description() *v6.Description {
	d.mu.Lock()
	g := d.current
	d.mu.Unlock()
	// A file that was changed is refused, so the same release again is better.
	if g == nil || g.status.Kind == KindSample || g.intact() != nil {
		return nil
	}
	desc, err := v6.ReadDescription(filepath.Join(g.dir, fileName))
	if err != nil {
		return nil
	}
	return desc
}

func (d *Database) installSample() error {
	all, err := advisories.Load()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(d.cfg.Dir, generationPrefix+"build-")
	if err != nil {
		return fmt.Errorf("make a directory for the sample database: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // swept at the next start
	path, err := BuildSample(dir, all)
	if err != nil {
		return err
	}
	return d.install(path, true)
}

func (d *Database) installConfig(root string) installation.Config {
	return installation.Config{DBRootDir: root, ValidateChecksum: true, ValidateAge: d.cfg.MaxAge > 0, MaxAllowedBuiltAge: d.cfg.MaxAge}
}

func (d *Database) distributionConfig() distribution.Config {
	cfg := distribution.DefaultConfig()
	cfg.ID = clio.Identification{Name: d.cfg.Name, Version: d.cfg.Version}
	cfg.RequireUpdateCheck = true
	if d.cfg.UpdateURL != "" {
		cfg.LatestURL = d.cfg.UpdateURL
	}
	return cfg
}
