package predicate

import (
	"encoding/json"
	"fmt"
	"strings"
)

// readCosign reads cosign's record, whose result is the scanner's own report
// in a format that has to be told by its looks.
func readCosign(raw json.RawMessage) (*details, error) {
	r, err := readRecord(raw)
	if err != nil {
		return nil, err
	}
	if !isObject(r.Scanner.Result) {
		return nil, unsupported("scanner.result is not an object")
	}
	d, err := readResult(r.Scanner.Result)
	if err != nil {
		return nil, fmt.Errorf("scanner.result: %w", err)
	}
	// SARIF has the end of the run itself.
	if d.made.IsZero() {
		d.made = d.finished
	}
	d.finished = r.Metadata.ScanFinishedOn.Time
	// Of two dates of the database the older counts: the report's own is the
	// scanner's, the record's whoever wrapped it up wrote.
	if at := r.Scanner.DB.LastUpdate; !at.IsZero() && (d.databaseBuiltAt.IsZero() || at.Before(d.databaseBuiltAt)) {
		d.databaseBuiltAt = at.Time
	}
	if !strings.Contains(d.scanner, " ") && r.Scanner.Version != "" {
		d.scanner = named(d.scanner, r.Scanner.Version)
	}
	return d, nil
}

func readResult(raw json.RawMessage) (*details, error) {
	var looks struct {
		SchemaVersion json.RawMessage `json:"SchemaVersion"`
		ArtifactType  json.RawMessage `json:"ArtifactType"`
		Descriptor    json.RawMessage `json:"descriptor"`
		Matches       json.RawMessage `json:"matches"`
		Runs          json.RawMessage `json:"runs"`
	}
	if err := json.Unmarshal(raw, &looks); err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	switch {
	case looks.SchemaVersion != nil && looks.ArtifactType != nil:
		return readTrivy(raw)
	case looks.Descriptor != nil && looks.Matches != nil:
		return readGrype(raw)
	case looks.Runs != nil:
		return readSARIF(raw)
	}
	return nil, unsupported("it is no report of Trivy or Grype, nor SARIF")
}
