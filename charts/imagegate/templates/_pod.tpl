{{/*
The Pod of a role: all, api or worker. (dict "root" $ "role" "all" "component" "provider")
An account's token is mounted into the provider's container alone, and only where it has
something to ask the API server.
*/}}
{{- define "imagegate.pod" -}}
{{- $v := .root.Values -}}
{{- $root := .root -}}
{{- $name := include "imagegate.fullname" .root -}}
{{- $worker := eq .role "worker" -}}
{{- $topology := include "imagegate.topology" .root -}}
{{- $scans := and (ne .role "api") (eq (include "imagegate.scanner" .root) "bundled") -}}
{{- $mutates := and (not $worker) $v.mutator.enabled -}}
{{- $token := or (not $worker) $v.pullSecrets.enabled -}}
{{- $config := printf "%s-%s" $name .component -}}
metadata:
  labels:
    {{- mergeOverwrite (deepCopy $v.commonLabels) (deepCopy $v.podLabels) (include "imagegate.selector" . | fromYaml) | toYaml | nindent 4 }}
  annotations:
    {{- /* What is followed by the programs themselves (policies, exceptions, VEX) restarts nothing. */}}
    {{- $checksums := dict "checksum/config" (include "imagegate.providerConfig" . | sha256sum) -}}
    {{- if $mutates }}{{ $_ := set $checksums "checksum/mutator" (include "imagegate.mutatorConfig" . | sha256sum) }}{{ end -}}
    {{- /* By which `kubectl imagegate` finds the report pages. */}}
    {{- if and $v.view.enabled (not $worker) }}{{ $_ := set $checksums "imagegate.dev/view-port" (toString $v.view.port) }}{{ end -}}
    {{- mergeOverwrite (deepCopy $v.commonAnnotations) (dict "kubectl.kubernetes.io/default-container" "provider") (deepCopy $v.podAnnotations) $checksums | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include ($worker | ternary "imagegate.workerAccountName" "imagegate.serviceAccountName") .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
  {{- include "imagegate.imagePullSecrets" .root | nindent 2 }}
  {{- with (or (and $worker $v.worker.priorityClassName) $v.priorityClassName) }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if $v.hostNetwork }}
  hostNetwork: true
  {{- end }}
  dnsPolicy: {{ default ($v.hostNetwork | ternary "ClusterFirstWithHostNet" "ClusterFirst") $v.dnsPolicy }}
  securityContext:
    {{- $security := deepCopy $v.podSecurityContext }}
    {{- if and $v.persistence.enabled $v.persistence.fsGroup (not (hasKey $security "fsGroup")) }}
    {{- $_ := set $security "fsGroup" (int64 $v.persistence.fsGroup) }}
    {{- $_ := set $security "fsGroupChangePolicy" "OnRootMismatch" }}
    {{- end }}
    {{- toYaml $security | nindent 4 }}
  {{- with $worker | ternary $v.worker.nodeSelector $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $worker | ternary $v.worker.tolerations $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  affinity:
    {{- with $worker | ternary $v.worker.affinity $v.affinity }}
    {{- toYaml . | nindent 4 }}
    {{- else }}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "imagegate.selector" . | nindent 14 }}
    {{- end }}
  topologySpreadConstraints:
    {{- with $v.topologySpreadConstraints }}
    {{- toYaml . | nindent 2 }}
    {{- else }}
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "imagegate.selector" . | nindent 8 }}
    {{- end }}
  {{- with $v.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 2 }}
  {{- end }}
  containers:
  - name: provider
    image: {{ include "imagegate.image" (dict "root" .root "program" "provider") }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args: [serve]
    env:
    {{- /* By the environment, so that `kubectl exec POD -- provider queue list` has it too. */}}
    - {name: IMAGEGATE_CONFIG, value: /config/provider.yaml}
    - name: GOMEMLIMIT
      valueFrom: {resourceFieldRef: {containerName: provider, resource: limits.memory}}
    {{- if eq $topology "cluster" }}
    - name: IMAGEGATE_NATS_CLUSTER_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    {{- end }}
    {{- include "imagegate.env" .root | nindent 4 }}
    ports:
    {{- if not $worker }}
    - {name: provider, containerPort: {{ $v.service.port }}}
    {{- end }}
    - {name: probes, containerPort: {{ $v.service.probePort }}}
    {{- if eq $topology "cluster" }}
    - {name: routes, containerPort: {{ $v.nats.cluster.port }}}
    {{- end }}
    {{- if include "imagegate.pullsThrough" .root }}
    - {name: pull-through, containerPort: {{ $v.scanner.harbor.pullThroughPort }}}
    {{- end }}
    {{- /* What is kept is read before anything else is answered: minutes, for a large store. */}}
    startupProbe:
      httpGet: {path: /healthz, port: probes}
      periodSeconds: 2
      failureThreshold: 150
    livenessProbe:
      httpGet: {path: /healthz, port: probes}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe:
      httpGet: {path: /readyz, port: probes}
      periodSeconds: 3
      timeoutSeconds: 3
      failureThreshold: 2
    resources:
      {{- toYaml ($worker | ternary $v.worker.resources $v.resources) | nindent 6 }}
    securityContext:
      {{- toYaml $v.securityContext | nindent 6 }}
    volumeMounts:
    - {name: config, mountPath: /config, readOnly: true}
    - {name: verdict, mountPath: /verdict, readOnly: true}
    - {name: data, mountPath: /data}
    {{- if not $worker }}
    - {name: certs, mountPath: {{ include "imagegate.certs" . }}}
    {{- end }}
    {{- if $scans }}
    - {name: socket, mountPath: {{ dir (include "imagegate.socket" .) }}}
    {{- end }}
    {{- if $token }}
    - {name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    {{- end }}
    {{- range (include "imagegate.secrets" .root | fromYamlArray) }}
    - {name: {{ .volume }}, mountPath: {{ .at }}, readOnly: true}
    {{- end }}
    {{- if and (not $worker) $v.gatekeeper.caConfigMap.name }}
    - {name: gatekeeper-ca, mountPath: /gatekeeper-ca, readOnly: true}
    {{- end }}
    {{- if include "imagegate.trusts" .root }}
    - {name: trusted-ca, mountPath: /trusted-ca, readOnly: true}
    {{- end }}
    {{- with $v.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if $mutates }}
  - name: mutator
    image: {{ include "imagegate.image" (dict "root" .root "program" "mutator") }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args: [--config=/config/mutator.yaml]
    env:
    - name: GOMEMLIMIT
      valueFrom: {resourceFieldRef: {containerName: mutator, resource: limits.memory}}
    {{- with $v.mutator.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    ports:
    - {name: webhook, containerPort: {{ $v.webhook.port }}}
    {{- /* Without a certificate nobody can be answered, for as long as that takes: no reason to kill it. */}}
    livenessProbe:
      tcpSocket: {port: webhook}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe:
      httpGet: {path: /readyz, port: webhook, scheme: HTTPS}
      periodSeconds: 3
      timeoutSeconds: 3
      failureThreshold: 2
    resources:
      {{- toYaml $v.mutator.resources | nindent 6 }}
    securityContext:
      {{- toYaml $v.securityContext | nindent 6 }}
    volumeMounts:
    - {name: mutator-config, mountPath: /config, readOnly: true}
    - {name: certs, mountPath: {{ include "imagegate.certs" . }}, readOnly: true}
    {{- with $v.mutator.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- if $scans }}
  - name: scanner
    image: {{ include "imagegate.image" (dict "root" .root "program" "scanner") }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args:
    - serve
    - --listen=unix://{{ include "imagegate.socket" . }}
    - --cache-dir=/cache
    {{- /* The limit of an emptyDir cannot be seen within: what goes beyond it evicts the Pod. */}}
    - --disk={{ mul 973 (trimSuffix "Gi" $v.scanner.bundled.disk | int64) }}MiB
    - --workers={{ $v.scanner.bundled.workers }}
    {{- /* A Pod one of whose containers has ended is not ready: it stays as long as the provider, which asks it. */}}
    - --shutdown-limit={{ sub (int64 $v.terminationGracePeriodSeconds) 5 }}s
    - --log-level={{ $v.log.level }}
    - --log-format={{ $v.log.format }}
    {{- if eq $v.scanner.bundled.database "sample" }}
    - --db-sample
    {{- else }}
    {{- with $v.scanner.bundled.databaseUrl }}
    - --db-update-url={{ . }}
    {{- end }}
    {{- with $v.scanner.bundled.databaseFile }}
    - --db-import={{ . }}
    {{- end }}
    - --db-max-age={{ $v.scanner.bundled.databaseMaxAge }}
    {{- end }}
    {{- with $v.registry.insecure }}
    - --insecure-registries={{ join "," . }}
    {{- end }}
    {{- range $v.scanner.bundled.extraArgs }}
    - {{ . | quote }}
    {{- end }}
    {{- with include "imagegate.env" .root | trim }}
    env:
    {{- . | nindent 4 }}
    {{- end }}
    {{- /* It has no port: only who shares its folder may ask it. */}}
    livenessProbe:
      exec: {command: [/usr/local/bin/scanner, health, --live, --listen=unix://{{ include "imagegate.socket" . }}]}
      initialDelaySeconds: 10
      periodSeconds: 20
      timeoutSeconds: 5
      failureThreshold: 6
    resources:
      {{- $resources := deepCopy $v.scanner.bundled.resources }}
      {{- $requests := $resources.requests | default dict }}
      {{- if not (hasKey $requests "ephemeral-storage") }}
      {{- $_ := set $requests "ephemeral-storage" "1Gi" }}
      {{- end }}
      {{- $_ := set $resources "requests" $requests }}
      {{- toYaml $resources | nindent 6 }}
    securityContext:
      {{- toYaml $v.securityContext | nindent 6 }}
    volumeMounts:
    - {name: socket, mountPath: {{ dir (include "imagegate.socket" .) }}}
    - {name: cache, mountPath: /cache}
    {{- if include "imagegate.trusts" .root }}
    - {name: trusted-ca, mountPath: /trusted-ca, readOnly: true}
    {{- end }}
    {{- with $v.scanner.bundled.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  {{- with $v.extraContainers }}
    {{- toYaml . | nindent 2 }}
  {{- end }}
  volumes:
  - name: config
    configMap:
      name: {{ $config }}
      items: [{key: config.yaml, path: provider.yaml}]
  {{- if $mutates }}
  - name: mutator-config
    configMap:
      name: {{ $name }}-mutator
      items: [{key: config.yaml, path: mutator.yaml}]
  {{- end }}
  - name: verdict
    configMap: {name: {{ $name }}-verdict}
  {{- if not (and $v.persistence.enabled (not $v.nats.url)) }}
  - name: data
    emptyDir: {sizeLimit: {{ $v.persistence.size }}}
  {{- end }}
  {{- if not $worker }}
  - name: certs
    emptyDir: {medium: Memory, sizeLimit: 1Mi}
  {{- end }}
  {{- if $scans }}
  - name: socket
    emptyDir: {medium: Memory, sizeLimit: 1Mi}
  - name: cache
    emptyDir: {sizeLimit: {{ $v.scanner.bundled.disk }}}
  {{- end }}
  {{- if $token }}
  - name: api-token
    projected:
      sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
  {{- end }}
  {{- range (include "imagegate.secrets" .root | fromYamlArray) }}
  - name: {{ .volume }}
    secret:
      secretName: {{ .secret }}
      {{- with .items }}
      items:
        {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- end }}
  {{- if and (not $worker) $v.gatekeeper.caConfigMap.name }}
  - name: gatekeeper-ca
    configMap:
      name: {{ $v.gatekeeper.caConfigMap.name }}
      items: [{key: {{ $v.gatekeeper.caConfigMap.key }}, path: ca.crt}]
  {{- end }}
  {{- with $v.trustedCA.configMap }}
  - name: trusted-ca
    configMap: {name: {{ . }}}
  {{- end }}
  {{- with $v.trustedCA.secret }}
  - name: trusted-ca
    secret: {secretName: {{ . }}}
  {{- end }}
  {{- with $v.extraVolumes }}
    {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Secrets that are mounted into the provider's container, as a list of volume, secret, at and items. */}}
{{- define "imagegate.secrets" -}}
{{- $v := .Values -}}
{{- $list := list -}}
{{- $scanner := include "imagegate.scanner" . -}}
{{- $token := dict -}}
{{- if eq $scanner "sysdig" -}}
{{- $token = dict "name" (printf "%s-sysdig" (include "imagegate.fullname" .)) "key" "SYSDIG_SECURE_TOKEN" -}}
{{- if $v.sysdigSecureTokenSecret.name }}{{ $token = $v.sysdigSecureTokenSecret }}{{ end -}}
{{- else if eq $scanner "anchore" -}}
{{- $token = $v.scanner.anchore.secret -}}
{{- else if eq $scanner "harbor" -}}
{{- $token = $v.scanner.harbor.tokenSecret -}}
{{- end -}}
{{- with $token.name -}}
{{- $list = append $list (dict "volume" "scanner-token" "secret" . "at" "/secrets/scanner" "items" (list (dict "key" $token.key "path" "token"))) -}}
{{- end -}}
{{- with $v.registry.credentialsSecret -}}
{{- $list = append $list (dict "volume" "registry" "secret" . "at" "/secrets/registry" "items" (list (dict "key" ".dockerconfigjson" "path" "config.json"))) -}}
{{- end -}}
{{- with $v.nats.credsSecret.name -}}
{{- $list = append $list (dict "volume" "nats" "secret" . "at" "/secrets/nats" "items" (list (dict "key" $v.nats.credsSecret.key "path" "user.creds"))) -}}
{{- end -}}
{{- with $v.nats.tlsSecret -}}
{{- $list = append $list (dict "volume" "nats-tls" "secret" . "at" "/secrets/nats-tls") -}}
{{- end -}}
{{- toYaml $list -}}
{{- end -}}

{{- define "imagegate.trusts" -}}
{{- if or .Values.trustedCA.configMap .Values.trustedCA.secret }}yes{{ end -}}
{{- end -}}

{{/* Whether an adapter reads images through the provider. */}}
{{- define "imagegate.pullsThrough" -}}
{{- if and (eq (include "imagegate.scanner" .) "harbor") (eq .Values.scanner.harbor.verify "proxy") }}yes{{ end -}}
{{- end -}}

{{/*
Environment of those who speak to registries and scanners. The original's httpProxy set
HTTP_PROXY alone, by which its HTTPS address was not reached.
*/}}
{{- define "imagegate.env" -}}
{{- $v := .Values }}
{{- if or $v.httpProxy $v.httpsProxy }}
{{- with $v.httpProxy }}
- {name: HTTP_PROXY, value: {{ . | quote }}}
{{- end }}
- {name: HTTPS_PROXY, value: {{ default $v.httpProxy $v.httpsProxy | quote }}}
- name: NO_PROXY
  value: {{ concat (list "localhost" "127.0.0.1" "::1" "$(KUBERNETES_SERVICE_HOST)" ".svc" (printf ".%s" $v.clusterDomain)) (splitList "," $v.noProxy) | compact | uniq | join "," | quote }}
{{- end }}
{{- if include "imagegate.trusts" . }}
- {name: SSL_CERT_DIR, value: "/etc/ssl/certs:/trusted-ca"}
{{- end }}
{{- with $v.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
