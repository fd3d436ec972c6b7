// Package bundled runs the scanner worker that comes with imagegate as a child
// process, for installations that name no scanner of their own. The worker
// serves the Harbor Pluggable Scanner API on a loopback port, so that the
// provider talks to it as to any other adapter and links no scanner itself.
package bundled
