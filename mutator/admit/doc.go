// Package admit decides what happens to one admission request: which images
// are pinned, what is refused and in which words, and how long the request may
// wait for the scans that validation will ask about next.
//
// It never judges an image. Waiting only makes it likely that Gatekeeper finds
// a final report; whatever goes wrong with it is logged and left to validation.
package admit
