// Package anchore is the scanner backend for services that speak Anchore's
// API: version 1 (Anchore Engine, and Sysdig Secure's legacy scanner under
// /api/scanning/v1/anchore) and version 2 (Anchore Enterprise from 4.9 on).
//
// Such a service pulls images with registry credentials of its own and judges
// them by a policy of its own. A scan is: submit the digest, wait until it is
// analysed, ask for the policy's verdict, and, for the numbers in the summary,
// for the list of vulnerabilities.
//
// Sources: the OpenAPI documents of anchore/anchore-engine
// (services/apiext/swagger) and of anchore/enterprise-client-go
// (pkg/anchore-api-swagger), the Engine's controllers where the documents are
// silent about 404, and sysdiglabs/opa-image-scanner for Sysdig's address and
// credentials.
//
// The two versions differ in spelling only, so there is one Client with two
// dialects (v1.go, v2.go). Nothing but a whole verdict on the very digest that
// was asked for counts as an outcome.
package anchore
