// Package predicate reads the predicates of signed statements as scans:
//
//   - in-toto vulns v0.1 and v0.2
//     (github.com/in-toto/attestation/spec/predicates/vulns_02.md)
//   - cosign vuln v1 (github.com/sigstore/cosign/specs/COSIGN_VULN_ATTESTATION_SPEC.md),
//     whose result is the JSON or SARIF report of Trivy or Grype
//   - SARIF 2.1.0 documents of Trivy or Grype that say when the run ended
//
// and OpenVEX documents and CycloneDX's analyses as OpenVEX.
//
// A signature proves who made a statement, not that it is a report. What does
// not prove to be a whole one is an error, so that the image is scanned: an
// object without a result, a report of another kind of scan, or a finding of a
// severity that cannot be read must never read as "nothing found". What a report
// says that was looked at is told in its Coverage, with what it shows that was
// not; in-toto's predicates and SARIF have no room for that and none.
package predicate
