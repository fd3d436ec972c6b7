{{/* The chart's name: in the labels by which Pods are selected. */}}
{{- define "imagegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/*
The name of all objects. Fifty characters: a StatefulSet's revision label is its name,
a hyphen and ten more, and the longest suffix of ours takes nine.
*/}}
{{- define "imagegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "imagegate.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "imagegate.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* What Pods are selected by. It never changes: selectors cannot. (dict "root" $ "component" "provider") */}}
{{- define "imagegate.selector" -}}
app.kubernetes.io/name: {{ include "imagegate.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object. (dict "root" $ "component" "provider" "more" dict) */}}
{{- define "imagegate.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" (.root.Chart.AppVersion | replace "+" "_" | trunc 63)
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "imagegate" -}}
{{- mergeOverwrite (deepCopy .root.Values.commonLabels) (deepCopy (.more | default dict)) $own (include "imagegate.selector" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* Name, namespace, labels and annotations. (dict "root" $ "component" "provider" "name" "x" "cluster" true "annotations" dict "labels" dict) */}}
{{- define "imagegate.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ include "imagegate.namespace" .root }}
{{- end }}
labels:
  {{- include "imagegate.labels" (dict "root" .root "component" .component "more" .labels) | nindent 2 }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (deepCopy (.annotations | default dict)) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The reference of a program's image. (dict "root" $ "program" "provider") */}}
{{- define "imagegate.image" -}}
{{- $image := index .root.Values.image .program -}}
{{- $at := printf "%s/%s" (default $image.registry .root.Values.global.imageRegistry) $image.repository -}}
{{- if .root.Values.image.repository -}}
{{- $at = printf "%s/%s" (trimSuffix "/" .root.Values.image.repository) .program -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $at $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $at (default .root.Chart.AppVersion .root.Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* imagePullSecrets of a Pod: names and {name: ...} of the chart and of all charts. */}}
{{- define "imagegate.imagePullSecrets" -}}
{{- $names := list -}}
{{- range concat .Values.imagePullSecrets (.Values.global.imagePullSecrets | default list) -}}
{{- $names = append $names (kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "name") .) -}}
{{- end -}}
{{- with uniq $names }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "imagegate.serviceAccountName" -}}
{{- default (.Values.serviceAccount.create | ternary (include "imagegate.fullname" .) "default") .Values.serviceAccount.name -}}
{{- end -}}

{{/* Workers have an account of their own, with fewer rights. */}}
{{- define "imagegate.workerAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- printf "%s-worker" (include "imagegate.serviceAccountName" .) -}}
{{- else -}}
{{- include "imagegate.serviceAccountName" . -}}
{{- end -}}
{{- end -}}

{{- define "imagegate.tlsSecret" -}}
{{- default (printf "%s-tls" (include "imagegate.fullname" .)) .Values.certificates.secretName -}}
{{- end -}}

{{/* The DNS names under which the provider and the mutator are reached, as a list. */}}
{{- define "imagegate.dnsNames" -}}
{{- $name := include "imagegate.fullname" . -}}
{{- $namespace := include "imagegate.namespace" . -}}
{{- $service := printf "%s.%s.svc" $name $namespace }}
- {{ $service }}
- {{ printf "%s.%s" $service .Values.clusterDomain }}
- {{ printf "%s.%s" $name $namespace }}
- {{ $name }}
- localhost
{{- if eq (include "imagegate.topology" .) "cluster" }}
- {{ printf "*.%s-peers.%s.svc" $name $namespace | quote }}
{{- end }}
{{- end -}}

{{/* Namespaces whose Pods nothing of ours touches, as a list. */}}
{{- define "imagegate.exempt" -}}
{{- concat (list "kube-system" "kube-node-lease" "kube-public" (include "imagegate.namespace" .) .Values.gatekeeper.namespace) .Values.exemptNamespaces | uniq | toYaml -}}
{{- end -}}

{{/*
What runs: single (a Deployment of one), volume (a StatefulSet of one), cluster (a
StatefulSet whose servers are one) or nats (Deployments of those that answer and those
that scan).
*/}}
{{- define "imagegate.topology" -}}
{{- if .Values.nats.url -}}nats
{{- else if gt (int .Values.replicaCount) 1 -}}cluster
{{- else if .Values.persistence.enabled -}}volume
{{- else -}}single
{{- end -}}
{{- end -}}

{{- define "imagegate.replicas" -}}
{{- if and .Values.autoscaling.enabled .Values.nats.url -}}
{{- .Values.autoscaling.minReplicas -}}
{{- else -}}
{{- .Values.replicaCount -}}
{{- end -}}
{{- end -}}

{{/* The scanner of images that no route sends elsewhere: sysdig, anchore, harbor or bundled. */}}
{{- define "imagegate.scanner" -}}
{{- if or .Values.sysdigSecureToken .Values.sysdigSecureTokenSecret.name -}}sysdig
{{- else if .Values.scanner.anchore.url -}}anchore
{{- else if .Values.scanner.harbor.url -}}harbor
{{- else -}}bundled
{{- end -}}
{{- end -}}

{{/* Milliseconds of a duration as Go writes it. */}}
{{- define "imagegate.ms" -}}
{{- $units := dict "ms" 1.0 "s" 1000.0 "m" 60000.0 "h" 3600000.0 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9]+(\\.[0-9]+)?(ms|s|m|h)" . -1 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) (get $units $unit)) -}}
{{- end -}}
{{- $sum | int64 -}}
{{- end -}}
