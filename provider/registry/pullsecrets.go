package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/imagegate/imagegate/provider/kube"
	"github.com/imagegate/imagegate/provider/registry/keyring"
	"github.com/imagegate/imagegate/provider/report"
	"github.com/imagegate/imagegate/provider/turns"
)

// pullSecrets reads image pull Secrets and service accounts, by name only: the
// provider needs the right to get them, never to list them. What it read is
// kept for a moment, so that admission does not hammer the API server.
type pullSecrets struct {
	client  kubernetes.Interface
	timeout time.Duration
	flights singleflight.Group
	// turns share the API server by namespace: keys name as many Secrets as their
	// author likes, and client-go serves first who came first.
	turns *turns.Turns
	// secrets holds a keychain for each Secret, nil for one that is missing or
	// of another type; accounts the Secrets each service account names.
	secrets  *bounded[*keyring.Config]
	accounts *bounded[[]string]
}

const (
	defaultServiceAccount = "default"
	// apiReads bounds the reads under way, maxAPIWaiting those that wait.
	apiReads      = 16
	maxAPIWaiting = 2048
	// maxPullSecrets bounds the Secrets read for one Pod.
	maxPullSecrets = 32
	// secretBytes bounds what is remembered of Secrets.
	secretBytes = 32 << 20
	// accountBytes bounds what is remembered of service accounts.
	accountBytes = 8 << 20
)

func newPullSecrets(o Options) (*pullSecrets, error) {
	client := o.PullSecrets.Client
	if client == nil {
		var err error
		if client, err = newClient(o); err != nil {
			return nil, err
		}
	}
	// A Secret may have a mebibyte.
	secrets, err := newBounded(o.CacheSize, secretBytes, o.PullSecrets.TTL, (*keyring.Config).Bytes)
	if err != nil {
		return nil, fmt.Errorf("making the cache of Secrets: %w", err)
	}
	accounts, err := newBounded(o.CacheSize, accountBytes, o.PullSecrets.TTL, namesSize)
	if err != nil {
		return nil, fmt.Errorf("making the cache of service accounts: %w", err)
	}
	return &pullSecrets{
		client:   client,
		timeout:  min(kube.Timeout, o.Timeout),
		turns:    turns.New(turns.Limits{Turns: apiReads, Waiting: maxAPIWaiting}),
		secrets:  secrets,
		accounts: accounts,
	}, nil
}

func newClient(o Options) (kubernetes.Interface, error) {
	cfg, err := kube.Config(o.PullSecrets.Kubeconfig, o.UserAgent)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("making the API server's client: %w", err)
	}
	return client, nil
}

// credentials returns those of the access's Secrets that are for repo: first
// the Pod's own in their order, then its service account's.
func (p *pullSecrets) credentials(ctx context.Context, repo name.Repository, access Access) ([]credential, error) {
	account := access.ServiceAccount
	if account == "" {
		account = defaultServiceAccount
	}
	more, err := p.account(ctx, access.Namespace, account)
	if err != nil {
		return nil, p.failure(fmt.Sprintf("service account %s/%s", access.Namespace, account), err)
	}
	names := unique(access.PullSecrets, more)
	if len(names) > maxPullSecrets {
		names = names[:maxPullSecrets]
	}
	var list []credential
	var broken []error
	for _, secret := range names {
		source := fmt.Sprintf("pull secret %s/%s", access.Namespace, secret)
		keys, err := p.secret(ctx, access.Namespace, secret)
		if err != nil {
			return nil, p.failure(source, err)
		}
		if keys == nil {
			continue
		}
		configs, err := keys.For(repo)
		if err != nil {
			broken = append(broken, &report.Failure{
				Reason:  report.ReasonUnauthorized,
				Message: source + " is of no use: " + report.Clean(err.Error(), maxQuote) + " (no pull access)",
			})
		}
		for _, config := range configs {
			list = append(list, credential{config: config, source: source})
		}
	}
	if len(list) == 0 && len(broken) > 0 {
		return nil, broken[0]
	}
	return list, nil
}

// namesSize is about what names take.
func namesSize(names []string) int {
	n := 0
	for _, s := range names {
		n += 16 + len(s)
	}
	return n
}

func unique(lists ...[]string) []string {
	var out []string
	seen := map[string]bool{}
	for _, l := range lists {
		for _, s := range l {
			if s != "" && !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// invalidSecretError is a Secret that the kubelet could not use either.
type invalidSecretError struct{ err error }

func (e *invalidSecretError) Error() string { return e.err.Error() }
func (e *invalidSecretError) Unwrap() error { return e.err }

func (p *pullSecrets) failure(what string, err error) *report.Failure {
	if _, ok := errors.AsType[*invalidSecretError](err); ok {
		return &report.Failure{
			Reason:  report.ReasonUnauthorized,
			Message: what + " does not hold a valid docker configuration (no pull access)",
			// The cause may quote the Secret.
		}
	}
	return &report.Failure{
		Reason:  report.ReasonUnavailable,
		Message: "the provider cannot read " + what + " from the API server",
		Err:     err,
	}
}

func (p *pullSecrets) account(ctx context.Context, namespace, account string) ([]string, error) {
	return remember(ctx, p, p.accounts, "account", namespace+"/"+account, func(ctx context.Context) ([]string, error) {
		sa, err := p.client.CoreV1().ServiceAccounts(namespace).Get(ctx, account, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var names []string
		for _, ref := range sa.ImagePullSecrets {
			names = append(names, ref.Name)
		}
		names = unique(names)
		// A copy, or what is cut off would be kept as well.
		return slices.Clone(names[:min(len(names), maxPullSecrets)]), nil
	})
}

// secret returns nil for a Secret that is missing or no pull secret: the
// kubelet passes over both.
func (p *pullSecrets) secret(ctx context.Context, namespace, secret string) (*keyring.Config, error) {
	return remember(ctx, p, p.secrets, "secret", namespace+"/"+secret, func(ctx context.Context) (*keyring.Config, error) {
		s, err := p.client.CoreV1().Secrets(namespace).Get(ctx, secret, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if s.Type != corev1.SecretTypeDockerConfigJson && s.Type != corev1.SecretTypeDockercfg {
			return nil, nil
		}
		parse, field := keyring.Parse, corev1.DockerConfigJsonKey
		if s.Type == corev1.SecretTypeDockercfg {
			parse, field = keyring.ParseLegacy, corev1.DockerConfigKey
		}
		keys, err := parse(s.Data[field])
		if err != nil {
			return nil, &invalidSecretError{err}
		}
		keys.Helpers, keys.Store = nil, "" // programs of the provider's, not the Secret's to name
		return keys, nil
	})
}

type memory[V any] interface {
	Get(key string) (V, bool)
	Add(key string, v V) bool
}

// remember answers from the cache or asks the API server once for all who are
// waiting; an asker that gives up does not take the answer from the others.
func remember[V any](ctx context.Context, p *pullSecrets, cache memory[V], kind, key string, ask func(context.Context) (V, error)) (V, error) {
	if v, ok := cache.Get(key); ok {
		return v, nil
	}
	ch := p.flights.DoChan(kind+" "+key, func() (_ any, err error) {
		defer report.Recover(&err)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.timeout)
		defer cancel()
		namespace, _, _ := strings.Cut(key, "/")
		done, err := p.turns.Take(ctx, turns.Share{Namespace: namespace})
		if err != nil {
			return nil, fmt.Errorf("waiting for a turn: %w", err)
		}
		defer done()
		v, err := ask(ctx)
		if err == nil {
			cache.Add(key, v)
		}
		return v, err
	})
	var zero V
	select {
	case got := <-ch:
		if got.Err != nil {
			return zero, got.Err
		}
		v, _ := got.Val.(V)
		return v, nil
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}
