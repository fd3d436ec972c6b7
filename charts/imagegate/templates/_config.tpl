{{/* Paths in containers. */}}
{{- define "imagegate.socket" -}}/run/imagegate/scanner.sock{{- end -}}
{{- define "imagegate.certs" -}}/certs{{- end -}}

{{/* How long a Pod that ends goes on answering, at most: what is left of its time. A single
   one with a volume has nobody to wait for, because its successor waits for the volume. */}}
{{- define "imagegate.shutdownLimit" -}}
{{- $left := sub (int64 .Values.terminationGracePeriodSeconds) (add 15 (div (include "imagegate.ms" .Values.shutdownDelay | int64) 1000)) -}}
{{- if eq (include "imagegate.topology" .) "volume" }}{{ $left = min $left 5 }}{{ end -}}
{{- max $left 0 }}s
{{- end -}}

{{/* The provider's configuration as far as values say it. (dict "root" $ "role" "all") */}}
{{- define "imagegate.providerOwn" -}}
{{- $v := .root.Values -}}
{{- $root := .root -}}
{{- $name := include "imagegate.fullname" .root -}}
{{- $namespace := include "imagegate.namespace" .root -}}
{{- $scanner := include "imagegate.scanner" .root -}}
dataDir: /data
role: {{ .role }}
server:
  listen: {{ printf ":%v" $v.service.port | quote }}
  probes: {{ printf ":%v" $v.service.probePort | quote }}
  budget: {{ $v.provider.budget }}
  shutdownDelay: {{ $v.shutdownDelay }}
  shutdownLimit: {{ include "imagegate.shutdownLimit" .root }}
  tls:
    clientAuth: {{ $v.provider.clientAuth | quote }}
registry:
  allowed: {{ toJson $v.registry.allowed }}
  insecure: {{ toJson $v.registry.insecure }}
  platforms: {{ toJson $v.registry.platforms }}
  {{- if $v.registry.credentialsSecret }}
  dockerConfig: /secrets/registry/config.json
  {{- end }}
  pullSecrets:
    enabled: {{ $v.pullSecrets.enabled }}
{{- $bundled := eq $scanner "bundled" }}
{{- if or $bundled (eq .role "worker") }}
scan:
  {{- if $bundled }}
  workers: {{ $v.scanner.bundled.workers }}
  {{- end }}
  {{- if eq .role "worker" }}
  grace: {{ $v.worker.grace }}
  {{- end }}
{{- end }}
scanner:
  {{- if eq $scanner "sysdig" }}
  anchore:
    url: {{ $v.sysdigSecureApiUrl | quote }}
    api: sysdig
    tokenFile: /secrets/scanner/token
  {{- else if eq $scanner "anchore" }}
  anchore:
    url: {{ $v.scanner.anchore.url | quote }}
    api: {{ $v.scanner.anchore.api | quote }}
    {{- if $v.scanner.anchore.user }}
    user: {{ $v.scanner.anchore.user | quote }}
    {{- end }}
    {{- if $v.scanner.anchore.secret.name }}
    {{ empty $v.scanner.anchore.user | ternary "tokenFile" "passwordFile" }}: /secrets/scanner/token
    {{- end }}
  {{- else if eq $scanner "harbor" }}
  harbor:
    url: {{ $v.scanner.harbor.url | quote }}
    verify: {{ $v.scanner.harbor.verify | quote }}
    {{- if $v.scanner.harbor.tokenSecret.name }}
    tokenFile: /secrets/scanner/token
    {{- end }}
  {{- if eq $v.scanner.harbor.verify "proxy" }}
  pullThrough:
    listen: {{ printf ":%v" $v.scanner.harbor.pullThroughPort | quote }}
    url: {{ default (printf "http://%s.%s.svc:%v" $name $namespace $v.scanner.harbor.pullThroughPort) $v.scanner.harbor.pullThroughUrl | quote }}
  {{- end }}
  {{- else }}
  bundled:
    url: unix://{{ include "imagegate.socket" . }}
  {{- end }}
store:
  nats:
    prefix: {{ $v.nats.prefix | quote }}
    {{- if $v.nats.url }}
    url: {{ $v.nats.url | quote }}
    {{- with $v.nats.domain }}
    domain: {{ . | quote }}
    {{- end }}
    {{- if $v.nats.replicas }}
    replicas: {{ $v.nats.replicas }}
    {{- end }}
    {{- if $v.nats.credsSecret.name }}
    credsFile: /secrets/nats/user.creds
    {{- end }}
    {{- if $v.nats.tlsSecret }}
    tls:
      caFile: /secrets/nats-tls/ca.crt
      {{- if $v.nats.clientCertificate }}
      certFile: /secrets/nats-tls/tls.crt
      keyFile: /secrets/nats-tls/tls.key
      {{- end }}
    {{- end }}
    {{- else if eq (include "imagegate.topology" .root) "cluster" }}
    cluster:
      peers:
        {{- range until (int $v.replicaCount) }}
        {{ printf "%s-%d" $name . }}: {{ printf "%s-%d.%s-peers.%s.svc:%v" $name . $name $namespace $v.nats.cluster.port | quote }}
        {{- end }}
      tls:
        caFile: {{ include "imagegate.certs" . }}/ca.crt
        certFile: {{ include "imagegate.certs" . }}/tls.crt
        keyFile: {{ include "imagegate.certs" . }}/tls.key
    {{- end }}
verdict:
  severityThreshold: {{ $v.verdict.severityThreshold }}
  onlyFixed: {{ $v.verdict.onlyFixed }}
  kev: {{ $v.verdict.kev }}
  minCVEAge: {{ $v.verdict.minCVEAge }}
  minFixAge: {{ $v.verdict.minFixAge }}
  unmatchedPackages: {{ $v.verdict.unmatchedPackages }}
  noPackages: {{ $v.verdict.noPackages }}
  endOfLife: {{ $v.verdict.endOfLife }}
  maxDatabaseAge: {{ $v.verdict.maxDatabaseAge }}
  exceptionsFile: /verdict/exceptions.yaml
  {{- if $v.vexDocuments }}
  vexFiles:
  {{- range $file, $_ := $v.vexDocuments }}
  - /verdict/{{ $file }}
  {{- end }}
  {{- end }}
nudge:
  enabled: {{ and $v.nudge.enabled (ne .role "worker") }}
inventory:
  enabled: {{ and $v.inventory.enabled (ne .role "worker") }}
{{- if and $v.view.enabled (ne .role "worker") }}
view:
  listen: {{ printf "127.0.0.1:%v" $v.view.port | quote }}
{{- end }}
{{- if ne .role "worker" }}
install:
  enabled: true
  mode: {{ eq $v.policies.manage "process" | ternary "process" "chart" }}
  namespace: {{ $namespace }}
  instance: {{ $name }}
  {{- if $v.rbac.create }}
  owner:
    apiVersion: rbac.authorization.k8s.io/v1
    kind: ClusterRole
    resource: clusterroles
    name: {{ $name }}-install
  {{- end }}
  policies:
    configMap: {{ $name }}-policies
    key: policies.yaml
  provider:
    name: {{ $v.provider.name }}
    url: {{ printf "https://%s.%s.svc:%v/scan-reports" $name $namespace $v.service.port | quote }}
    timeout: {{ $v.provider.timeoutSeconds }}s
  {{- if $v.mutator.enabled }}
  mutatingWebhook: {{ $name }}
  {{- end }}
  gatekeeper:
    validatingWebhook: {{ $v.gatekeeper.validatingWebhook | quote }}
    mutatingWebhook: {{ $v.gatekeeper.mutatingWebhook | quote }}
    {{- if $v.gatekeeper.caConfigMap.name }}
    caFile: /gatekeeper-ca/ca.crt
    {{- end }}
  certificates:
    source: {{ eq $v.certificates.mode "own" | ternary "own" "secret" }}
    secret: {{ include "imagegate.tlsSecret" .root }}
    dir: {{ include "imagegate.certs" . }}
    propagation: {{ $v.certificates.propagation }}
    overlap: {{ $v.certificates.overlap }}
    {{- if eq $v.certificates.mode "own" }}
    caValidity: {{ $v.certificates.caValidity }}
    leafValidity: {{ $v.certificates.leafValidity }}
    dnsNames:
      {{- include "imagegate.dnsNames" .root | nindent 6 }}
    {{- end }}
{{- end }}
log:
  level: {{ $v.log.level }}
  format: {{ $v.log.format }}
  verbose: {{ $v.verboseLog }}
{{- end -}}

{{/* The provider's configuration file. */}}
{{- define "imagegate.providerConfig" -}}
{{- $own := include "imagegate.providerOwn" . | fromYaml -}}
{{- if hasKey $own "Error" }}{{ fail (printf "imagegate: the provider's configuration: %s" $own.Error) }}{{ end -}}
{{- mergeOverwrite (deepCopy .root.Values.config) $own | toYaml -}}
{{- end -}}

{{/* The mutator's configuration as far as values say it. */}}
{{- define "imagegate.mutatorOwn" -}}
{{- $v := .root.Values -}}
server:
  listen: {{ printf ":%v" $v.webhook.port | quote }}
  shutdownDelay: {{ $v.shutdownDelay }}
  shutdownLimit: {{ include "imagegate.shutdownLimit" .root }}
  tls:
    certFile: {{ include "imagegate.certs" . }}/tls.crt
    keyFile: {{ include "imagegate.certs" . }}/tls.key
provider:
  url: {{ printf "https://localhost:%v" $v.service.port | quote }}
  caFile: {{ include "imagegate.certs" . }}/ca.crt
  certFile: {{ include "imagegate.certs" . }}/tls.crt
  keyFile: {{ include "imagegate.certs" . }}/tls.key
  resolveTimeout: {{ $v.mutator.resolveTimeout }}
  attempts: {{ $v.inventory.enabled }}
pin:
  keepTag: {{ $v.mutator.keepTag }}
  exempt: {{ toJson $v.mutator.exempt }}
  workloads: {{ toJson $v.mutator.workloads }}
  onUnresolved: {{ $v.mutator.onUnresolved }}
  onUnresolvedByNamespace: {{ toJson $v.mutator.onUnresolvedByNamespace }}
wait:
  duration: {{ $v.mutator.wait.duration }}
  max: {{ $v.mutator.wait.max }}
log:
  level: {{ $v.log.level }}
  format: {{ $v.log.format }}
{{- end -}}

{{- define "imagegate.mutatorConfig" -}}
{{- $own := include "imagegate.mutatorOwn" . | fromYaml -}}
{{- mergeOverwrite (deepCopy .root.Values.mutator.config) $own | toYaml -}}
{{- end -}}

{{/* Who is asked for policies: what the provider reads in policies.yaml. */}}
{{- define "imagegate.policies" -}}
{{- $v := .Values -}}
{{- $p := dict "name" $v.policies.name "enforcementAction" $v.policies.enforcementAction -}}
{{- range $key, $value := dict "exemptNamespaces" (include "imagegate.exempt" . | fromYamlArray) "match" $v.policies.match
  "scanRules" $v.scanRules "preScanPolicies" $v.preScanPolicies "scanPolicies" $v.scanPolicies
  "preCustomRules" $v.preCustomRules "customRules" $v.customRules
  "parameters" $v.policies.parameters "objects" $v.policies.objects -}}
{{- if $value }}{{ $_ := set $p $key $value }}{{ end -}}
{{- end -}}
{{- toYaml $p -}}
{{- end -}}

{{/* Fails where two settings of one thing meet. (dict "mine" dict "own" dict "at" "config") */}}
{{- define "imagegate.noTwice" -}}
{{- range $key, $value := .mine -}}
{{- if hasKey $.own $key -}}
{{- $own := get $.own $key -}}
{{- $at := printf "%s.%s" $.at $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $own) -}}
{{- include "imagegate.noTwice" (dict "mine" $value "own" $own "at" $at) -}}
{{- else -}}
{{- fail (printf "imagegate: %s: the chart sets this itself, from a value of its own (see its README)" $at) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
