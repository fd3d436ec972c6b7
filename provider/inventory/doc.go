// Package inventory knows which images run where: which digests, in which
// namespaces, of which workloads, in how many Pods and since when. Reports say
// what is wrong with an image; this says whom it concerns.
//
// # What is read, and what is kept
//
// Pods of all namespaces that have not ended are listed in pages and watched. Of
// each a record is kept and nothing else: its name, its controller, and of each
// container and image volume the name, the image, what was written before it was
// pinned (an annotation of the mutator's, and a claim: whoever creates Pods may
// write any) and the digest that the node says it runs. Texts that many Pods have
// in common are in memory once.
//
// The workload of a Pod is found by owner references: Pod, ReplicaSet, Deployment,
// and Pod, Job, CronJob. Of ReplicaSets and Jobs only the metadata is asked for
// (PartialObjectMetadata), and only the controller is kept. While that cannot be
// read, or of one that is gone, a ReplicaSet's Deployment is told by its name, which
// ends in the label pod-template-hash; a Job is then its own workload. State says
// which it is.
//
// # Snapshots
//
// Readers get a Snapshot, which never changes. A new one is made when something has
// changed, not more often than once a second, and not so often that it takes more
// than a small part of a core.
//
// # What an absence means
//
// Nothing found is good news only while State.Phase is Complete. Before the first
// list it is Unknown. It is Incomplete while the API server cannot be asked, and
// while there are more Pods than Options allow: what does not fit is left out from
// the namespace that takes the most room. A container whose digest nobody can tell,
// as one that has not started, is in Snapshot.Undetermined and never missing.
package inventory
