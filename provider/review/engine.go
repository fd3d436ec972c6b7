package review

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/open-policy-agent/gatekeeper/v3/pkg/expansion"
	"github.com/open-policy-agent/gatekeeper/v3/pkg/util"

	"github.com/imagegate/imagegate/provider/review/loopback"
)

// defaultTimeout bounds one call of external_data when Config says nothing.
const defaultTimeout = 10 * time.Second

// Config is what an Engine needs.
type Config struct {
	// Policies is what objects are judged by.
	Policies Policies
	// Cluster is what Gatekeeper would know of the cluster.
	Cluster Cluster
	// Data answers POST /scan-reports and POST /digests, the provider's
	// endpoints. Without it every call of external_data fails.
	Data http.Handler
	// Timeout bounds one call of external_data, in whole seconds; 10 s when
	// zero.
	Timeout time.Duration
	// EnforcementPoint is one of Gatekeeper's, validation.gatekeeper.sh when
	// empty. It decides which scoped enforcement actions are in force.
	EnforcementPoint string
	// Explain fills in Result.Explained.
	Explain bool
}

// Engine judges objects. It is safe for concurrent use, but judges one object
// at a time in the whole process, as OPA keeps external_data process-wide.
type Engine struct {
	config    Config
	server    *loopback.Server
	identity  *identity
	source    *dataSource
	evaluator *evaluator
	expander  *expansion.System

	// mu keeps the exchanges of one object together.
	mu sync.Mutex
}

// New compiles the templates and loads constraints, namespaces and inventory.
// Its errors name the file and the object, and where a template does not
// compile the compiler's line. Close the Engine after use.
func New(ctx context.Context, config Config) (*Engine, error) {
	if config.Timeout <= 0 {
		config.Timeout = defaultTimeout
	}
	if config.EnforcementPoint == "" {
		config.EnforcementPoint = util.WebhookEnforcementPoint
	}
	server, err := loopback.Start(ctx, config.Data)
	if err != nil {
		return nil, err
	}
	e := &Engine{config: config, server: server}
	if err := e.load(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) load(ctx context.Context) error {
	var err error
	if e.identity, err = newIdentity(e.server); err != nil {
		return err
	}
	if e.source, err = newDataSource(e.config.Policies.providerPaths(), e.server, e.identity, e.config.Timeout); err != nil {
		return err
	}
	if e.evaluator, err = newEvaluator(e.source, e.config.EnforcementPoint); err != nil {
		return err
	}
	if err := e.addTemplates(ctx); err != nil {
		return err
	}
	if err := e.addConstraints(ctx); err != nil {
		return err
	}
	if e.expander, err = newExpander(e.config.Policies.expansions); err != nil {
		return err
	}
	for _, d := range e.config.Cluster.inventory {
		if _, err := e.evaluator.AddData(ctx, d.object); err != nil {
			return fmt.Errorf("%s: %s: adding it to the inventory: %w", d.source, d.label(), err)
		}
	}
	return nil
}

// Close ends the engine's server.
func (e *Engine) Close() error {
	var err error
	if e.source != nil {
		e.source.forget()
	}
	if e.identity != nil {
		err = e.identity.close()
	}
	return errors.Join(err, e.server.Close())
}

func newExpander(expansions []expansionTemplate) (*expansion.System, error) {
	system := expansion.NewSystem(nil)
	for _, t := range expansions {
		if err := system.UpsertTemplate(t.parsed); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", t.source, t.label(), err)
		}
	}
	return system, nil
}
