package review

import (
	"context"
	"fmt"
	"sync"
	"time"

	constraintclient "github.com/open-policy-agent/frameworks/constraint/pkg/client"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers/rego"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/frameworks/constraint/pkg/externaldata"
	"github.com/open-policy-agent/frameworks/constraint/pkg/types"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/gator"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/target"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/imagegate/imagegate/provider/review/loopback"
)

// builtins guards OPA's table of builtin functions, which is one for the whole
// process: each Rego driver made with a provider cache puts its own
// external_data there, and the last one serves the templates of all. owner is
// whose it is now.
var builtins struct {
	sync.Mutex
	owner *evaluator
}

// evaluator is a Gatekeeper client whose templates find their external data at
// one server. It is safe for concurrent use, also of several evaluators.
type evaluator struct {
	client *constraintclient.Client
	args   []rego.Arg
}

var _ gator.Client = (*evaluator)(nil)

// dataSource is how evaluators find the external data server. It has no
// response cache on purpose: an answer that one object got would hide
// from the next what it asks for.
type dataSource struct {
	providers *externaldata.ProviderCache
	identity  *identity
	paths     map[string]string
}

func newDataSource(paths map[string]string, server *loopback.Server, id *identity, timeout time.Duration) (*dataSource, error) {
	providers := externaldata.NewCache()
	if err := registerProviders(providers, paths, server, timeout); err != nil {
		return nil, err
	}
	return &dataSource{providers: providers, identity: id, paths: paths}, nil
}

// forget closes the engine's connections to the server.
func (s *dataSource) forget() {
	for name := range s.paths {
		s.providers.Remove(name)
	}
}

func newEvaluator(source *dataSource, point string, extra ...rego.Arg) (*evaluator, error) {
	v := &evaluator{args: append([]rego.Arg{
		rego.AddExternalDataProviderCache(source.providers),
		rego.EnableExternalDataClientAuth(),
		rego.AddExternalDataClientCertWatcher(source.identity.watcher),
	}, extra...)}
	builtins.Lock()
	defer builtins.Unlock()
	driver, err := rego.New(v.args...)
	if err != nil {
		return nil, fmt.Errorf("making a Rego driver: %w", err)
	}
	builtins.owner = v
	v.client, err = constraintclient.NewClient(
		constraintclient.Targets(&target.K8sValidationTarget{}),
		constraintclient.Driver(driver),
		constraintclient.EnforcementPoints(point),
	)
	if err != nil {
		return nil, fmt.Errorf("making a Gatekeeper client: %w", err)
	}
	return v, nil
}

// lock takes the process's builtins for v and returns what gives them back.
func (v *evaluator) lock() (unlock func(), err error) {
	builtins.Lock()
	if builtins.owner != v {
		// Making a driver is what registers its external_data; this one is
		// not used otherwise.
		if _, err := rego.New(v.args...); err != nil {
			builtins.Unlock()
			return nil, fmt.Errorf("taking over external_data: %w", err)
		}
		builtins.owner = v
	}
	return builtins.Unlock, nil
}

// AddTemplate implements gator.Client.
func (v *evaluator) AddTemplate(ctx context.Context, t *templates.ConstraintTemplate) (*types.Responses, error) {
	unlock, err := v.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return v.client.AddTemplate(ctx, t)
}

// AddConstraint implements gator.Client.
func (v *evaluator) AddConstraint(ctx context.Context, c *unstructured.Unstructured) (*types.Responses, error) {
	return v.client.AddConstraint(ctx, c)
}

// AddData implements gator.Client.
func (v *evaluator) AddData(ctx context.Context, data any) (*types.Responses, error) {
	return v.client.AddData(ctx, data)
}

// RemoveData implements gator.Client.
func (v *evaluator) RemoveData(ctx context.Context, data any) (*types.Responses, error) {
	return v.client.RemoveData(ctx, data)
}

// Review implements gator.Client.
func (v *evaluator) Review(ctx context.Context, object any, opts ...reviews.ReviewOpt) (*types.Responses, error) {
	unlock, err := v.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return v.client.Review(ctx, object, opts...)
}
