package imagescan

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	v6 "github.com/anchore/grype/grype/db/v6"
	"github.com/anchore/grype/grype/vulnerability"

	"github.com/imagegate/imagegate/scanner/advisories"
	"github.com/imagegate/imagegate/scanner/database"
	"github.com/imagegate/imagegate/scanner/harbor"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// risky is a database that knows all there is to know about the risk of one flaw
// of golang.org/x/text, CVE-2021-38561, and changes before it is read.
func risky(t *testing.T, change func(t *testing.T, file string)) v6.Reader {
	t.Helper()
	all, err := advisories.Load()
	if err != nil {
		t.Fatal(err)
	}
	for i := range all.Advisories {
		a := &all.Advisories[i]
		if a.ID == "GHSA-ppp9-7jff-5vj2" {
			a.Exploited = &advisories.Exploited{CVE: "CVE-2021-38561", Added: "2026-11-02", Due: "2026-11-23", Ransomware: true}
			a.EPSS = &advisories.EPSS{CVE: "CVE-2021-38561", Probability: 0.0125, Percentile: 0.79}
			a.Affected[0].FixedOn = "2021-08-10"
		}
	}
	dir := t.TempDir()
	file, err := database.BuildSample(dir, all)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(t, file)
	}
	db, err := v6.NewReader(v6.Config{DBDirPath: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func findIn(t *testing.T, db v6.Reader) *sandbox.Findings {
	t.Helper()
	risk, err := watchRisk(db)
	if err != nil {
		t.Fatal(err)
	}
	got, err := findMatches(t.Context(), v6.NewVulnerabilityProvider(risk), db, risk, written(t, nil, vulnerableText()))
	if err != nil || len(got.Vulnerabilities) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	return got
}

func TestRiskOfAFinding(t *testing.T) {
	got := findIn(t, risky(t, nil))
	v, other := got.Vulnerabilities[1], got.Vulnerabilities[0]
	a := v.VendorAttributes
	if v.ID != "GHSA-ppp9-7jff-5vj2" || a.KnownExploited == nil || a.EPSS == nil || a.Risk == nil || a.FixAvailable == nil {
		t.Fatalf("%+v", v)
	}
	if k := a.KnownExploited; strings.Join(k.CVEs, " ") != "CVE-2021-38561" || k.DateAdded != "2026-11-02" || k.DueDate != "2026-11-23" || !k.Ransomware {
		t.Errorf("%+v", k)
	}
	if *a.EPSS != (harbor.EPSS{CVE: "CVE-2021-38561", Probability: 0.0125, Percentile: 0.79, Date: got.RiskData.EPSS.AsOf.Format(time.DateOnly)}) {
		t.Errorf("%+v", a.EPSS)
	}
	// Severity High and a base score of 7.5, known to be exploited by ransomware.
	if want := (0.75 + 0.75) / 2 * 1.1 * 100; *a.Risk < want-0.001 || *a.Risk > want+0.001 {
		t.Errorf("risk %v, want %v", *a.Risk, want)
	}
	if a.FixAvailable.Format(time.DateOnly) != "2021-08-10" {
		t.Error(a.FixAvailable)
	}
	// Of the other nothing is known, which is not a risk of 0.
	if a := other.VendorAttributes; a.KnownExploited != nil || a.EPSS != nil || a.Risk != nil || a.FixAvailable != nil {
		t.Errorf("%+v", a)
	}
	for name, s := range map[string]harbor.RiskSource{"KEV": got.RiskData.KnownExploited, "EPSS": got.RiskData.EPSS} {
		if s.Missing != "" || s.AsOf == nil || s.AsOf.IsZero() {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// statement runs SQL on a database file.
func statement(t *testing.T, file, sql string, args ...any) {
	t.Helper()
	db, err := v6.NewLowLevelDB(file, false, true, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Exec(sql, args...).Error; err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
}

// corrupt overwrites the first page of a table.
func corrupt(t *testing.T, file, table string) {
	t.Helper()
	db, err := v6.NewLowLevelDB(file, false, true, false)
	if err != nil {
		t.Fatal(err)
	}
	var page, size int64
	if err := db.Raw("select rootpage from sqlite_master where name = ?", table).Scan(&page).Error; err != nil {
		t.Fatal(err)
	}
	if err := db.Raw("pragma page_size").Scan(&size).Error; err != nil {
		t.Fatal(err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	_ = pool.Close()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xff}, int(size)), (page-1)*size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whatever is wrong with a table, the findings are what they were and the report
// says that their risk is not known.
func TestRiskDataThatCannotBeRead(t *testing.T) {
	const kev, epss = "known_exploited_vulnerability_handles", "epss_handles"
	for name, c := range map[string]struct {
		change    func(t *testing.T, file string)
		kev, epss string // of what is missing
	}{
		"no KEV table":      {func(t *testing.T, f string) { statement(t, f, "drop table "+kev) }, "could not be read", ""},
		"no EPSS table":     {func(t *testing.T, f string) { statement(t, f, "drop table "+epss) }, "", "could not be read"},
		"empty KEV table":   {func(t *testing.T, f string) { statement(t, f, "delete from "+kev) }, "has none", ""},
		"empty EPSS table":  {func(t *testing.T, f string) { statement(t, f, "delete from "+epss) }, "", "has none"},
		"corrupt KEV table": {func(t *testing.T, f string) { corrupt(t, f, kev) }, "could not be read", ""},
		"corrupt EPSS":      {func(t *testing.T, f string) { corrupt(t, f, epss) }, "", "could not be read"},
		"corrupt KEV index": {func(t *testing.T, f string) { corrupt(t, f, "kev_cve_idx") }, "could not be read", ""},
		"KEV content lost": {func(t *testing.T, f string) {
			statement(t, f, "update "+kev+" set blob_id = 999999")
		}, "could not be read", ""},
		"KEV content broken": {func(t *testing.T, f string) {
			statement(t, f, "update blobs set value = '{' where id in (select blob_id from "+kev+")")
		}, "could not be read", ""},
		"no day of EPSS": {func(t *testing.T, f string) { statement(t, f, "delete from epss_metadata") }, "", "could not be read"},
		"older schema": {func(t *testing.T, f string) {
			statement(t, f, "update db_metadata set revision = 0, addition = 0")
		}, "of a schema without it", "of a schema without it"},
		"before EPSS": {func(t *testing.T, f string) {
			statement(t, f, "update db_metadata set revision = 0, addition = 1")
		}, "", "of a schema without it"},
	} {
		t.Run(name, func(t *testing.T) {
			got := findIn(t, risky(t, c.change))
			check := func(source string, s harbor.RiskSource, missing string) {
				if !strings.Contains(s.Missing, missing) || (missing == "") != (s.Missing == "") || (s.AsOf == nil) == (missing == "") {
					t.Errorf("%s: %+v, want %q", source, s, missing)
				}
			}
			check("KEV", got.RiskData.KnownExploited, c.kev)
			check("EPSS", got.RiskData.EPSS, c.epss)
			for _, v := range got.Vulnerabilities {
				a := v.VendorAttributes
				if v.Severity != harbor.SeverityHigh || a.Risk != nil && c.kev != "" && a.KnownExploited == nil {
					t.Errorf("%+v", v)
				}
				if c.kev == "" && (v.ID == "GHSA-ppp9-7jff-5vj2") != (a.KnownExploited != nil) {
					t.Errorf("%+v", v)
				}
			}
		})
	}
}

// failing is a database whose risk data fails while it is asked. The file itself
// cannot be locked by others: Grype opens it as one that never changes.
type failing struct {
	store
	times int
}

var errLocked = errors.New("database table is locked")

func (f *failing) GetKnownExploitedVulnerabilities(cve string) ([]v6.KnownExploitedVulnerabilityHandle, error) {
	if f.times--; f.times >= 0 {
		return nil, errLocked
	}
	return f.store.GetKnownExploitedVulnerabilities(cve)
}

func TestRiskDataThatFailsForAMoment(t *testing.T) {
	// Each of the two flaws is asked for by Grype, and then by us.
	got := findIn(t, &failing{store: risky(t, nil).(store), times: 2})
	if got.RiskData.KnownExploited.Missing != "" || got.RiskData.EPSS.Missing != "" {
		t.Errorf("%+v", got.RiskData)
	}
	if got.Vulnerabilities[1].VendorAttributes.KnownExploited == nil {
		t.Errorf("%+v", got.Vulnerabilities[1])
	}
	got = findIn(t, &failing{store: risky(t, nil).(store), times: 1000})
	if got.RiskData.KnownExploited.Missing == "" || got.Vulnerabilities[1].VendorAttributes.Risk != nil {
		t.Errorf("%+v %+v", got.RiskData, got.Vulnerabilities[1])
	}
}

// An advisory of a distribution names the CVEs of a package beside the record of
// the flaw, where Grype does not look.
func TestRiskOfACVEThatOnlyThePackageNames(t *testing.T) {
	db := risky(t, func(t *testing.T, f string) {
		statement(t, f, "update blobs set value = replace(replace(value, '\"CVE-2021-38561\",', ''), '\"aliases\":[\"CVE-2021-38561\"', '\"aliases\":[\"GO-0\"') where value like '%aliases%CVE-2021-38561%'")
	})
	got := findIn(t, db)
	v := got.Vulnerabilities[1]
	if v.VendorAttributes.KnownExploited == nil || v.VendorAttributes.Risk == nil || *v.VendorAttributes.Risk < 80 {
		t.Errorf("%+v", v)
	}
}

func TestEntriesOfSeveralCVEs(t *testing.T) {
	one := &harbor.KnownExploited{CVEs: []string{"CVE-1"}, DateAdded: "2026-02-01", DueDate: "2026-03-01"}
	two := &harbor.KnownExploited{CVEs: []string{"CVE-2"}, DateAdded: "2026-01-01", Ransomware: true}
	got := together(together(nil, one), two)
	if strings.Join(got.CVEs, " ") != "CVE-1 CVE-2" || got.DateAdded != "2026-01-01" || got.DueDate != "2026-03-01" || !got.Ransomware {
		t.Errorf("%+v", got)
	}
	if len(one.CVEs) != 1 {
		t.Error("the entry of one was changed")
	}
}

func TestWhenAFixCame(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC) }
	available := []vulnerability.FixAvailable{{Version: "2", Date: at(9)}, {Version: "1", Date: at(3)}, {Version: "0"}}
	if got := fixAvailable(vulnerability.Fix{Versions: []string{"2", "1", "0"}, Available: available}); got == nil || !got.Equal(at(3)) {
		t.Error(got)
	}
	if got := fixAvailable(vulnerability.Fix{Available: available}); got != nil {
		t.Errorf("%v, and there is no fix", got)
	}
}

// CVEs are asked for in any letter case, as the database has them.
func TestLetterCaseOfACVE(t *testing.T) {
	risk, err := watchRisk(risky(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		found, err := risk.GetKnownExploitedVulnerabilities("cve-2021-38561")
		if err != nil || len(found) != 1 {
			t.Errorf("%+v %v", found, err)
		}
	}
}
