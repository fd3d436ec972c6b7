package review

import "k8s.io/apimachinery/pkg/runtime/schema"

// clusterScoped reports whether objects of a kind have no namespace. It knows
// Kubernetes' own kinds; any other is taken for namespaced, as most are.
func clusterScoped(gk schema.GroupKind) bool {
	switch gk.Group {
	case "":
		return oneOf(gk.Kind, "Namespace", "Node", "PersistentVolume", "ComponentStatus")
	case "rbac.authorization.k8s.io":
		return oneOf(gk.Kind, "ClusterRole", "ClusterRoleBinding")
	case "networking.k8s.io":
		return oneOf(gk.Kind, "IngressClass", "IPAddress", "ServiceCIDR")
	case "certificates.k8s.io":
		return oneOf(gk.Kind, "CertificateSigningRequest", "ClusterTrustBundle")
	case "storage.k8s.io":
		return !oneOf(gk.Kind, "CSIStorageCapacity")
	case "resource.k8s.io":
		return oneOf(gk.Kind, "DeviceClass", "ResourceSlice")
	case "admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io",
		"scheduling.k8s.io", "node.k8s.io", "flowcontrol.apiserver.k8s.io",
		"templates.gatekeeper.sh", "constraints.gatekeeper.sh", "externaldata.gatekeeper.sh",
		"expansion.gatekeeper.sh", "mutations.gatekeeper.sh":
		return true
	}
	return false
}

func oneOf(kind string, kinds ...string) bool {
	for _, k := range kinds {
		if kind == k {
			return true
		}
	}
	return false
}
