// Package verdict decides whether a scanned image is accepted. The scan holds
// facts; what they mean is configuration: a severity threshold, exceptions
// that end, and OpenVEX documents. The verdict is drawn when a stored scan is
// read, so a change of the configuration counts at once; Until and Generation
// say how long the same one would be drawn again.
//
// Everything here that lets an image in is read narrowly: where an exception
// or a VEX statement could mean two things, the finding counts. An exception
// is an operator's own decision and holds whatever VEX documents say; among
// VEX statements about one finding the latest holds, and of two of the same
// time the one that leaves the finding standing.
//
// An exceptions file is a YAML list:
//
//   - cve: CVE-2021-38561        # or any other identifier: GHSA-..., ALAS-...
//     images: [ghcr.io/acme/]    # see pattern; "*" is every image
//     namespaces: [shop]         # optional; left out means all
//     packages: [golang.org/x/text] # optional; left out means all
//     kev: deny                  # optional: not for what is known to be exploited
//     minFixAge: 14d             # optional: until a fix has been there for so long
//     expires: 2026-12-01        # the first moment of that day in UTC, or RFC 3339
//     reason: language tags are not parsed from requests
//
// OpenVEX documents (https://github.com/openvex/spec, version 0.2) name an
// image as a product by pkg:oci/NAME@sha256:... or by its sha-256 hash, and
// may narrow a statement to packages by their package URLs.
package verdict
