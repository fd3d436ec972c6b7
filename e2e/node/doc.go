// Package node runs a real Kubernetes cluster of one node on the machine that it is
// on, in namespaces of its own: etcd and the control plane, kubelet, containerd, a
// CNI, kube-proxy, CoreDNS, and a registry that containerd pulls from. It exists
// because a test of a Helm chart is one of containers, Services, volumes and
// restarts, none of which package cluster has.
//
// A program that wants a node calls Main. It is executed anew as the first process
// of new mount, network, PID, UTS and IPC namespaces, and once more inside of them,
// where the node is started and the caller's function runs. The end of the first
// process is the end of everything; cgroups are removed after it. Nothing inside can
// reach a network but its own.
package node
