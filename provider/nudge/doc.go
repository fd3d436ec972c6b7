// Package nudge shortens the time between the end of a scan and the Pod that
// waits for it. A controller whose Pod was denied as pending tries again after a
// pause that doubles each time, up to a quarter of an hour, and does not hear
// that the scan is over. An update of the object that it works for makes it try
// at once, whatever is updated: so that object gets an annotation with the time.
//
// # What each controller does
//
// Read in the controllers' source, Kubernetes 1.36:
//
//   - ReplicaSet, ReplicationController (the same code), DaemonSet and StatefulSet:
//     every update puts the object into the queue at once (updateRS,
//     updateDaemonset, enqueueStatefulSet).
//   - Job: an update that leaves the generation as it is, as an annotation does,
//     puts it there after one second (enqueueSyncJobBatched). Its pause has a
//     minute at most by itself.
//
// The pause goes on beside it: it is over, too, once the controller has succeeded.
//
// # What is remembered, and for how long
//
// Pending is told which owner waits for which key, Ended that a key is over. Each
// is called where the answer was given, so the replica that told an owner to wait
// nudges it; when two did, both do, and the second does no harm. Nothing is
// stored: after a crash nobody nudges, and the controller's own pause is what it
// was without all this. What is remembered is bounded in number and bytes; what
// does not fit goes from the namespace that has the most. After an hour without a
// retry an owner is forgotten.
//
// An owner is nudged when all that it waits for is over, so that a Pod with three
// images is not made to fail twice, or a few seconds after the first: what it
// waited for may be an image that it has no more.
//
// # What somebody could make of it
//
// Whoever creates a Pod names any owner, and decides when its scan ends. Only
// objects of five kinds in the Pod's own namespace are ever touched, with the UID
// that the Pod names; nothing is created; of what an author wrote nothing goes
// into the annotation. An owner is nudged once in five seconds at most, all
// together not more often than is configured, and namespaces by turns.
package nudge
