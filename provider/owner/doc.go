// Package owner names the controller that made a Pod, in one form for the key
// that carries it and for whoever writes to it: the mutator sees it, the wire
// protocol takes it along, and package nudge annotates it.
//
// Whoever may create Pods may write any owner into them. So only five kinds are
// known, an owner has no namespace of its own (it is the Pod's), and the UID goes
// with the name wherever the name goes.
package owner
