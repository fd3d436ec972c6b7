// Package trust decides, step by step, how certificates change without a request
// lost: which authorities are published together, which leaf may be served, when
// an authority is dropped, and whose clients are believed.
//
// It knows no API server and no file. Whoever calls it hands in what there is and
// what time it is, and gets what is to be next: every step can be taken again by
// another process that was started in the middle.
//
// The order is what keeps requests alive. Clients (Gatekeeper by the Provider
// object, the API server by the webhook configuration) trust a bundle of old and
// new authorities. A new authority is published first. A leaf of it is served only
// some seconds after that, and the old authority is dropped only some time after
// nothing is signed by it any more.
package trust
