package config

import (
	"net"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Role is what a process does of all that the provider does.
type Role string

// The roles.
const (
	// RoleAll answers and scans.
	RoleAll Role = "all"
	// RoleAPI answers and queues. Scans are made by others.
	RoleAPI Role = "api"
	// RoleWorker scans what others queue.
	RoleWorker Role = "worker"
)

// Answers reports whether the process answers Gatekeeper and the mutator.
func (r Role) Answers() bool { return r != RoleWorker }

// Scans reports whether the process makes scans.
func (r Role) Scans() bool { return r != RoleAPI }

// validate checks that the process can do its part.
func (r Role) validate(c *Config) (errs field.ErrorList) {
	p := field.NewPath("role")
	errs = append(errs, oneOf(p, r, RoleAll, RoleAPI, RoleWorker)...)
	if r != RoleAll && !c.Store.NATS.Shared() {
		errs = append(errs, field.Invalid(p, r, "needs store.nats.url or store.nats.cluster: the embedded server alone is reached by no other process"))
	}
	probes := field.NewPath("server", "probes")
	if c.Server.Probes == "" {
		if r == RoleWorker {
			errs = append(errs, field.Required(probes, "must be the host:port of a worker's /healthz, /readyz and /metrics"))
		}
	} else if _, _, err := net.SplitHostPort(c.Server.Probes); err != nil {
		errs = append(errs, field.Invalid(probes, c.Server.Probes, "must be host:port: "+err.Error()))
	}
	return errs
}
