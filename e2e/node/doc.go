// Package node runs a real Kubernetes cluster of one node on this machine: etcd and
// the control plane, kubelet, containerd, a CNI, kube-proxy, CoreDNS, and a registry
// that containerd pulls from. It exists because the test of a Helm chart needs
// containers, Services, volumes and restarts, and package cluster has none of these.
//
// The cluster has Linux namespaces of its own. A program that wants a node calls Main.
// Main executes the program again, as the first process of new mount, network, PID,
// UTS and IPC namespaces. That process executes the program a third time; there the
// node is started and the caller's function runs. When the first process of the
// namespaces ends, all others end too, and their cgroups are removed. No process in
// the namespaces can reach a network outside of them.
package node
