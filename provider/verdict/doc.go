// Package verdict decides whether a scanned image is accepted. The scan holds
// facts; what they mean is configuration: a severity threshold, exceptions
// that end, and OpenVEX documents. The verdict is drawn anew whenever a stored
// scan is read, so a change of the configuration counts at once.
//
// Everything here that lets an image in is read narrowly: where an exception
// or a VEX statement could mean two things, the finding counts. An exception
// is an operator's own decision and holds whatever VEX documents say; among
// VEX statements about one finding the latest holds, and of two of the same
// time the one that leaves the finding standing.
package verdict
