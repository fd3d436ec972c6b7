// Package e2e holds the tests of imagegate as a whole: real kubectl, API
// server, controllers, Gatekeeper, scanner, provider and mutator on 127.0.0.1.
package e2e
