// Package view shows people what the provider knows: why an image is kept out, what
// to do about it, and which images have a vulnerability. It makes an HTML file of one
// report, and serves pages on a listener of their own.
//
// A page shows what a Pod would be answered: the verdict is drawn by the provider's
// own rules when the page is asked for, or, in lists, is drawn anew before it could
// differ. All text in a page may have been written by an attacker (names of images
// and packages, versions, messages): it reaches a page by html/template only, and the
// browser is told to run and load nothing but the files in here. Pages are complete
// without JavaScript. What is not known is said to be unknown, and never shown as 0.
package view
