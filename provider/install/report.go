package install

import (
	"context"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/imagegate/imagegate/provider/install/finding"
)

type metrics struct {
	enforcing, leading prometheus.Gauge
	problems, warnings *prometheus.GaugeVec
	writes             *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		enforcing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "imagegate_install_enforcing",
			Help: "1 while every known Gatekeeper Pod enforces the Constraint that is installed; 0 always where policies are not installed by the process.",
		}),
		leading: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "imagegate_install_leading", Help: "1 while this replica is the one that installs.",
		}),
		problems: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "imagegate_install_problem", Help: "1 while this is what keeps the policies from being as they were written.",
		}, []string{"reason"}),
		warnings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "imagegate_install_warning", Help: "1 while this weakens the policies although they are enforced.",
		}, []string{"reason"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "imagegate_install_writes_total", Help: "Objects written, by action: apply, replace (somebody had added to them) or prune, and result: ok or failed.",
		}, []string{"action", "result"}),
	}
	for _, reason := range finding.Problems() {
		m.problems.WithLabelValues(string(reason)).Set(0)
	}
	for _, reason := range finding.Warnings() {
		m.warnings.WithLabelValues(string(reason)).Set(0)
	}
	for _, action := range []string{"apply", "replace", "prune"} {
		for _, result := range []string{"ok", "failed"} {
			m.writes.WithLabelValues(action, result)
		}
	}
	for _, c := range []prometheus.Collector{m.enforcing, m.leading, m.problems, m.warnings, m.writes} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) wrote(action string, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.writes.WithLabelValues(action, result).Inc()
}

// show sets what the status says.
func (m *metrics) show(s Status) {
	m.enforcing.Set(number(s.Enforcing))
	for _, r := range finding.Problems() {
		m.problems.WithLabelValues(string(r)).Set(number(problems(s.Problems).has(r)))
	}
	for _, r := range finding.Warnings() {
		m.warnings.WithLabelValues(string(r)).Set(number(problems(s.Warnings).has(r)))
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// teller says what changes, by Event and log.
type teller struct {
	events    record.EventRecorder
	broadcast record.EventBroadcaster
	log       *slog.Logger
	// told is what was said last.
	told Status
	any  bool
}

func newTeller(api typedcorev1.EventsGetter, namespace, identity string, log *slog.Logger) *teller {
	b := record.NewBroadcaster()
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: api.Events(namespace)})
	return &teller{
		broadcast: b, log: log,
		events: b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "imagegate", Host: identity}),
	}
}

func (t *teller) close() { t.broadcast.Shutdown() }

// status says what is new in s, about the state's ConfigMap.
func (t *teller) status(ctx context.Context, about *corev1.ConfigMap, s Status) {
	news := func(old, now []Problem, again string) {
		for _, p := range now {
			if !slices.Contains(old, p) {
				t.log.WarnContext(ctx, again, "reason", string(p.Reason), "problem", p.Message)
				t.event(about, corev1.EventTypeWarning, p.Reason.EventReason(), p.Message)
			}
		}
	}
	news(t.told.Problems, s.Problems, "the installation is not as it should be")
	news(t.told.Warnings, s.Warnings, "the policies are weaker than they look")
	switch {
	case s.Enforcing && !t.told.Enforcing:
		t.log.InfoContext(ctx, "the policies are enforced")
		t.event(about, corev1.EventTypeNormal, "Enforcing", "every Gatekeeper Pod enforces the policies")
	case !s.Enforcing && (t.told.Enforcing || !t.any) && s.Mode == ModeProcess:
		t.log.WarnContext(ctx, "the policies are not enforced", "because", s.Err())
		t.event(about, corev1.EventTypeWarning, "NotEnforcing", cut(s.Err().Error()))
	}
	t.told, t.any = s, true
}

// did says what was done with certificates.
func (t *teller) did(ctx context.Context, about *corev1.ConfigMap, what string) {
	t.log.InfoContext(ctx, "certificates", "did", what)
	t.event(about, corev1.EventTypeNormal, "Certificates", what)
}

func (t *teller) event(about *corev1.ConfigMap, kind, reason, message string) {
	if about == nil {
		return // the log has it
	}
	t.events.Event(&corev1.ObjectReference{
		APIVersion: "v1", Kind: "ConfigMap", Namespace: about.Namespace, Name: about.Name, UID: about.UID,
	}, kind, reason, message)
}
