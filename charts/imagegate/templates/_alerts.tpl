{{/* Alerts: what is told of is in RUNBOOK.md under the same name. */}}
{{- define "imagegate.alerts" -}}
{{- $in := printf "namespace=%q" (include "imagegate.namespace" .) -}}
{{- $queue := int (dig "scan" "queue" 1000 .Values.config) -}}
- alert: ImagegateDown
  expr: absent(imagegate_part_ready{ {{- $in -}} })
  for: 5m
  severity: critical
  summary: No replica of imagegate answers. Pods cannot be created where webhook.failurePolicy is Fail.
- alert: ImagegatePartNotReady
  expr: min by (part) (imagegate_part_ready{ {{- $in -}} }) == 0
  for: 10m
  severity: warning
  summary: {{ "A replica has not been ready for ten minutes: {{ $labels.part }}." | quote }}
{{- if eq .Values.policies.manage "process" }}
- alert: ImagegateNotEnforcing
  expr: max(imagegate_install_enforcing{ {{- $in -}} }) == 0
  for: 10m
  severity: critical
  summary: The policies are not enforced, whatever images are.
{{- end }}
- alert: ImagegateInstallProblem
  expr: max by (reason) (imagegate_install_problem{ {{- $in -}} }) == 1
  for: 15m
  severity: warning
  summary: {{ "What is in the cluster is not what was configured: {{ $labels.reason }}." | quote }}
- alert: ImagegateGatekeeperWeak
  expr: max by (reason) (imagegate_install_warning{ {{- $in -}} ,reason!~"constraint_denies_nothing|constraint_rule_idle"}) == 1
  for: 5m
  severity: warning
  summary: {{ "Gatekeeper lets Pods through that nobody has looked at: {{ $labels.reason }}." | quote }}
{{- if and .Values.mutator.enabled (eq .Values.webhook.failurePolicy "Ignore") }}
- alert: ImagegateWebhookFailsOpen
  expr: vector(1)
  for: 0m
  severity: warning
  summary: webhook.failurePolicy is Ignore. Images go unpinned while the mutator does not answer.
{{- end }}
- alert: ImagegateCertificateExpires
  expr: min by (side, part) (imagegate_tls_expiry_timestamp_seconds{ {{- $in -}} }) - time() < {{ div (include "imagegate.ms" .Values.prometheusRule.certificateExpiry | int64) 1000 }}
  for: 10m
  severity: critical
  summary: {{ "A certificate ends soon: {{ $labels.part }}." | quote }}
- alert: ImagegateCertificateNotLoaded
  expr: max by (side, part) (imagegate_tls_reload_failing{ {{- $in -}} }) == 1
  for: 10m
  severity: warning
  summary: {{ "A new certificate cannot be used, and the one before is: {{ $labels.part }}." | quote }}
- alert: ImagegateClientsRefused
  expr: sum(increase(imagegate_requests_unauthenticated_total{ {{- $in -}} }[10m])) > 0
  for: 5m
  severity: warning
  summary: Somebody asks the provider without a certificate. Gatekeeper's may not be one that is trusted.
- alert: ImagegateDatabaseOld
  expr: time() - min by (scanner) (imagegate_scanner_database_built_timestamp_seconds{ {{- $in -}} }) > {{ div (include "imagegate.ms" .Values.prometheusRule.databaseAge | int64) 1000 }}
  for: 1h
  severity: warning
  summary: {{ "The vulnerability data of {{ $labels.scanner }} is old." | quote }}
- alert: ImagegateQueueFull
  expr: max(imagegate_scans_queued{ {{- $in -}} }) > {{ div (mul $queue 8) 10 }}
  for: 5m
  severity: warning
  summary: Scans are asked for faster than they are made. New images are denied as pending.
- alert: ImagegateScansFail
  expr: sum(rate(imagegate_scans_total{ {{- $in -}}, result!="ok"}[15m])) / sum(rate(imagegate_scans_total{ {{- $in -}} }[15m])) > 0.5
  for: 15m
  severity: warning
  summary: More than half of the scans fail.
- alert: ImagegateStoreAway
  expr: max(imagegate_nats_connected{ {{- $in -}} }) == 0
  for: 5m
  severity: critical
  summary: What is kept cannot be reached. Images whose report is not in memory are denied.
- alert: ImagegateVerdictFilesBroken
  expr: max by (part) (imagegate_verdict_reload_failing{ {{- $in -}} }) == 1
  for: 5m
  severity: warning
  summary: {{ "Changed {{ $labels.part }} cannot be read, and what was there before counts." | quote }}
- alert: ImagegateExceptionsExpire
  expr: max(imagegate_exceptions{ {{- $in -}}, state="expiring"}) > 0
  for: 1h
  severity: info
  summary: Exceptions end within two weeks. From then on their findings count again.
{{- if and .Values.view.enabled .Values.inventory.enabled }}
- alert: ImagegateRunningRejected
  expr: max(imagegate_running_images{ {{- $in -}}, status="rejected"}) > max(imagegate_running_images{ {{- $in -}}, status="rejected"} offset 1h)
  for: 15m
  severity: warning
  summary: More images that run are rejected than an hour ago. Their Pods would not be let in again.
{{- end }}
{{- end -}}
