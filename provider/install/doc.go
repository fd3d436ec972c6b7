// Package install puts into the cluster what only a running process can: the
// Provider object, which Gatekeeper refuses without a CA that is not known when a
// chart is rendered; the ConstraintTemplates; the Constraints, whose kinds exist only
// once Gatekeeper has taken the templates in; and the CA bundle of the mutating
// webhook. It makes and replaces the certificates behind them, or follows given ones.
//
// One of the replicas leads (a Lease) and writes. It looks at everything anew in
// each round, which a change of anything it watches starts, so that Gatekeeper may
// come later, go and come back, and what somebody else changed is put right. In a
// round that finds nothing to do it writes nothing.
//
// Every replica serves certificates: those that package trust lets it serve are
// written to a folder, for this process and for the mutator beside it. What the
// replicas have to agree about is in one ConfigMap, the state, which is also where
// people and commands read how far things are.
//
// client-go's dynamic client is enough for that: the objects are few, each round
// reads them, and a controller's caches would need the right to list more than is
// installed.
package install
