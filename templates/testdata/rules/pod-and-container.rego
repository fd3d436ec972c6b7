deny_image[msg] {
	not input.PodObject.spec.securityContext.runAsNonRoot
	input.ContainerObject.volumeMounts[_].mountPath == "/var/run/docker.sock"
	msg := sprintf("container %s mounts the runtime's socket as root", [input.ContainerObject.name])
}
