// Package pullthrough lets a foreign scanner read an image without trusting the
// registry that serves it. Scanners keep what they found in a layer by the
// layer's diff ID and look it up whatever registry an image comes from; a
// registry that serves other bytes than a digest names, or an image whose
// configuration claims another image's diff IDs, would leave something in that
// memory that answers for the real image ever after.
//
// For the time of one scan the scanner is given an address of the provider's own
// and a token that opens this one image there. The manifest and the
// configuration are read and compared before the scanner is asked. A layer is
// read once to compare its digest, its size and the digest of its unpacked
// content, and only then, a chunk at a time, handed on: a scanner that reads a
// tar stops at its end mark, long before the end of a body that somebody padded,
// so that to withhold the last bytes alone would come too late. What is too
// large to be kept between the two is read again and compared chunk by chunk
// with what was verified, which needs neither a disk nor room that one image
// could take from another.
//
// The registry's credentials stay in the provider.
package pullthrough
