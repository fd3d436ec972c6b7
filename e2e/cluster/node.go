package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// nodeName of the only node.
const nodeName = "node-1"

// startNode creates a Node and plays its scheduler and its kubelet: each Pod
// is bound to it, reported running without anything being run, and removed
// when it is deleted.
func (c *Cluster) startNode(ctx context.Context) error {
	many := corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("64"),
		corev1.ResourceMemory: resource.MustParse("256Gi"),
		corev1.ResourcePods:   resource.MustParse("1000"),
	}
	created, err := c.Client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName, Labels: map[string]string{corev1.LabelOSStable: "linux"}},
		Status: corev1.NodeStatus{
			Capacity: many, Allocatable: many,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Started"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create the node: %w", err)
	}
	// The API server gives each new Node the taint not-ready, which the node lifecycle
	// controller, not run here, takes away when a kubelet reports. It keeps DaemonSets
	// from making Pods.
	created.Spec.Taints = nil
	if _, err := c.Client.CoreV1().Nodes().Update(ctx, created, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("take the first taint from the node: %w", err)
	}
	// The node works until Stop, not until the start is over
	nodeCtx, stop := context.WithCancel(context.Background())
	c.stopNode, c.nodeDone = stop, make(chan struct{})
	n := &node{client: c.Client}
	factory := informers.NewSharedInformerFactory(c.Client, 0)
	pods := factory.Core().V1().Pods().Informer()
	if _, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { n.enqueue(nodeCtx, obj) },
		UpdateFunc: func(_, obj any) { n.enqueue(nodeCtx, obj) },
	}); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	factory.Start(nodeCtx.Done())
	go func() {
		<-nodeCtx.Done()
		factory.Shutdown()
		n.work.Wait()
		close(c.nodeDone)
	}()
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced) {
		return fmt.Errorf("watch pods: %w", ctx.Err())
	}
	return nil
}

// node brings Pods to the state a kubelet would report.
type node struct {
	client kubernetes.Interface
	work   sync.WaitGroup
}

// enqueue handles a Pod beside the informer: binding passes Gatekeeper's
// webhook, and a slow one must not delay the other Pods.
func (n *node) enqueue(ctx context.Context, obj any) {
	pod, ok := obj.(*corev1.Pod)
	if !ok || ctx.Err() != nil {
		return
	}
	n.work.Add(1)
	go func() {
		defer n.work.Done()
		// A conflict means that a newer version of the Pod is on its way here;
		// any other failure (a webhook that is down) is tried again.
		for try := range 20 {
			if err := n.sync(ctx, pod); err == nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Duration(try+1) * 100 * time.Millisecond):
			}
			fresh, err := n.client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
			if err != nil {
				return
			}
			pod = fresh
		}
	}()
}

func (n *node) sync(ctx context.Context, pod *corev1.Pod) error {
	pods := n.client.CoreV1().Pods(pod.Namespace)
	switch {
	case pod.DeletionTimestamp != nil:
		now := int64(0)
		return pods.Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now,
			Preconditions:      metav1.NewUIDPreconditions(string(pod.UID)),
		})
	case pod.Spec.NodeName == "":
		return pods.Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: nodeName},
		}, metav1.CreateOptions{})
	case reported(pod):
		return nil
	}
	running := pod.DeepCopy()
	report(&running.Status, pod)
	_, err := pods.UpdateStatus(ctx, running, metav1.UpdateOptions{})
	return err
}

// reported tells whether the Pod's status already says that all of it runs, or that
// it has ended, as a test may have it.
func reported(pod *corev1.Pod) bool {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return true
	}
	return pod.Status.Phase == corev1.PodRunning &&
		len(pod.Status.EphemeralContainerStatuses) == len(pod.Spec.EphemeralContainers)
}

func report(status *corev1.PodStatus, pod *corev1.Pod) {
	now := metav1.Now()
	status.Phase = corev1.PodRunning
	if status.StartTime == nil {
		status.StartTime = &now
	}
	status.Conditions = nil
	for _, kind := range []corev1.PodConditionType{
		corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady,
	} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{
			Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now,
		})
	}
	started := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now}}
	status.InitContainerStatuses, status.ContainerStatuses, status.EphemeralContainerStatuses = nil, nil, nil
	for _, ctr := range pod.Spec.InitContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses,
			corev1.ContainerStatus{Name: ctr.Name, Image: ctr.Image, ImageID: ctr.Image, Ready: true, State: ended})
	}
	for _, ctr := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses,
			corev1.ContainerStatus{Name: ctr.Name, Image: ctr.Image, ImageID: ctr.Image, Ready: true, State: started})
	}
	for _, ctr := range pod.Spec.EphemeralContainers {
		status.EphemeralContainerStatuses = append(status.EphemeralContainerStatuses,
			corev1.ContainerStatus{Name: ctr.Name, Image: ctr.Image, ImageID: ctr.Image, State: started})
	}
}
