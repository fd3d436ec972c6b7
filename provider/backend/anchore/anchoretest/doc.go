// Package anchoretest is a server in the test's own process that answers as
// services with Anchore's API do, for tests of their clients.
//
// It is no scanner: the real services (Anchore Engine, Anchore Enterprise,
// Sysdig Secure) cannot run here. Routes, parameters, field names, status codes
// and error objects are those of the OpenAPI documents of
// anchore/anchore-engine (version 1) and anchore/enterprise-client-go (version
// 2) and of the Engine's controllers; values, and what is "found" in an image,
// are made up by the test.
package anchoretest
