{{/* What a schema cannot say: values that do not go together. Helm prints the first that is found. */}}
{{- define "imagegate.checks" -}}
{{- $v := .Values -}}
{{- if eq (include "imagegate.namespace" .) "kube-system" -}}
{{- fail "imagegate: it cannot be installed into kube-system: Pods in that namespace are never judged or pinned. Choose a namespace of its own" -}}
{{- end -}}

{{- if and $v.sysdigSecureToken $v.sysdigSecureTokenSecret.name -}}
{{- fail "imagegate: sysdigSecureToken and sysdigSecureTokenSecret.name: give only one of them" -}}
{{- end -}}
{{- if and (hasPrefix "<" $v.sysdigSecureToken) (hasSuffix ">" $v.sysdigSecureToken) -}}
{{- fail (printf "imagegate: sysdigSecureToken: %s is a placeholder, not a token: write the token there" $v.sysdigSecureToken) -}}
{{- end -}}
{{- $scanners := list -}}
{{- if or $v.sysdigSecureToken $v.sysdigSecureTokenSecret.name }}{{ $scanners = append $scanners "sysdigSecureToken" }}{{ end -}}
{{- if $v.scanner.anchore.url }}{{ $scanners = append $scanners "scanner.anchore.url" }}{{ end -}}
{{- if $v.scanner.harbor.url }}{{ $scanners = append $scanners "scanner.harbor.url" }}{{ end -}}
{{- if gt (len $scanners) 1 -}}
{{- fail (printf "imagegate: %s: give one scanner for all images; for some images name others in config.scanner.routes" (join ", " $scanners)) -}}
{{- end -}}

{{- if and $v.scanRules (or $v.scanPolicies $v.preScanPolicies) -}}
{{- fail "imagegate: scanRules cannot be given together with scanPolicies or preScanPolicies, which say the same" -}}
{{- end -}}
{{- include "imagegate.spelling" (dict "section" $v.scanRules "at" "scanRules") -}}
{{- range $namespace, $section := $v.scanRules.byNamespace -}}
{{- include "imagegate.spelling" (dict "section" $section "at" (printf "scanRules.byNamespace.%s" $namespace)) -}}
{{- end -}}
{{- if eq $v.policies.manage "chart" -}}
{{- range $name, $rules := dict "customRules" $v.customRules "preCustomRules" $v.preCustomRules -}}
{{- if trim $rules -}}
{{- fail (printf "imagegate: %s: with policies.manage: chart nobody can make a ConstraintTemplate of these rules. Make one with `provider template --rules FILE --kind KIND` and put it into extraObjects, or set policies.manage: process" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $wait := include "imagegate.ms" $v.mutator.wait.duration | int64 -}}
{{- $resolve := include "imagegate.ms" $v.mutator.resolveTimeout | int64 -}}
{{- $webhook := mul 1000 (int64 $v.webhook.timeoutSeconds) -}}
{{- if and $v.mutator.enabled (le $webhook $wait) -}}
{{- fail (printf "imagegate: webhook.timeoutSeconds: %v must be above mutator.wait.duration, %s: otherwise the API server does not wait for the mutator's answer" $v.webhook.timeoutSeconds $v.mutator.wait.duration) -}}
{{- end -}}
{{- if and $v.mutator.enabled (le $webhook $resolve) -}}
{{- fail (printf "imagegate: webhook.timeoutSeconds: %v must be above mutator.resolveTimeout, %s" $v.webhook.timeoutSeconds $v.mutator.resolveTimeout) -}}
{{- end -}}
{{- if le (mul 1000 (int64 $v.provider.timeoutSeconds)) (include "imagegate.ms" $v.provider.budget | int64) -}}
{{- fail (printf "imagegate: provider.timeoutSeconds: %v must be above provider.budget, %s: otherwise Gatekeeper does not wait for the provider's answer" $v.provider.timeoutSeconds $v.provider.budget) -}}
{{- end -}}
{{- if le (mul 1000 (int64 $v.terminationGracePeriodSeconds)) (add 5000 (include "imagegate.ms" $v.shutdownDelay | int64)) -}}
{{- fail (printf "imagegate: terminationGracePeriodSeconds: %v must be more than five seconds above shutdownDelay, %s" $v.terminationGracePeriodSeconds $v.shutdownDelay) -}}
{{- end -}}
{{- if and $v.nats.url (le (mul 1000 (int64 $v.terminationGracePeriodSeconds)) (add 5000 (include "imagegate.ms" $v.worker.grace | int64))) -}}
{{- fail (printf "imagegate: terminationGracePeriodSeconds: %v must be more than five seconds above worker.grace, %s" $v.terminationGracePeriodSeconds $v.worker.grace) -}}
{{- end -}}

{{- if and $v.hostNetwork (eq (int $v.webhook.port) 10250) -}}
{{- fail "imagegate: webhook.port: 10250 is the kubelet's on the node's network: with hostNetwork choose another port" -}}
{{- end -}}
{{- if and $v.hostNetwork $v.view.enabled -}}
{{- fail "imagegate: view.enabled: with hostNetwork the loopback is the node's, and every process on the node would see the images of all namespaces: set only one of the two" -}}
{{- end -}}
{{- $ports := dict -}}
{{- $listens := dict "service.port" $v.service.port "service.probePort" $v.service.probePort -}}
{{- if $v.mutator.enabled }}{{ $_ := set $listens "webhook.port" $v.webhook.port }}{{ end -}}
{{- if eq (include "imagegate.topology" .) "cluster" }}{{ $_ := set $listens "nats.cluster.port" $v.nats.cluster.port }}{{ end -}}
{{- if eq (include "imagegate.scanner" .) "harbor" }}{{ $_ := set $listens "scanner.harbor.pullThroughPort" $v.scanner.harbor.pullThroughPort }}{{ end -}}
{{- if $v.view.enabled }}{{ $_ := set $listens "view.port" $v.view.port }}{{ end -}}
{{- range $value, $port := $listens -}}
{{- $key := toString $port -}}
{{- if hasKey $ports $key -}}
{{- fail (printf "imagegate: %s and %s: both are %v, and they are in one Pod: choose another port for one of them" (get $ports $key) $value $port) -}}
{{- end -}}
{{- $_ := set $ports $key $value -}}
{{- end -}}

{{- if and (not $v.nats.url) (gt (int $v.replicaCount) 1) (eq 0 (mod (int $v.replicaCount) 2)) -}}
{{- fail (printf "imagegate: replicaCount: %v: without nats.url the replicas' own NATS servers form a cluster, which needs an odd number of replicas: 1, 3 or 5" $v.replicaCount) -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (not $v.nats.url) -}}
{{- fail "imagegate: autoscaling.enabled: without nats.url the replicas' own NATS servers form a cluster, whose size cannot change by itself: set nats.url" -}}
{{- end -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- fail "imagegate: autoscaling.minReplicas is above maxReplicas" -}}
{{- end -}}
{{- if and $v.worker.autoscaling.enabled (not $v.nats.url) -}}
{{- fail "imagegate: worker.autoscaling.enabled: there are no workers without nats.url" -}}
{{- end -}}
{{- if gt (int $v.worker.autoscaling.minReplicas) (int $v.worker.autoscaling.maxReplicas) -}}
{{- fail "imagegate: worker.autoscaling.minReplicas is above maxReplicas" -}}
{{- end -}}
{{- if and $v.worker.autoscaling.enabled (eq 0 (int $v.worker.autoscaling.minReplicas)) (not $v.worker.autoscaling.prometheusAddress) -}}
{{- fail "imagegate: worker.autoscaling.minReplicas: a HorizontalPodAutoscaler needs at least 1; 0 is possible only with KEDA (prometheusAddress)" -}}
{{- end -}}
{{- if and $v.persistence.enabled $v.nats.url -}}
{{- fail "imagegate: persistence.enabled: with nats.url everything is kept in that NATS: leave one of the two out" -}}
{{- end -}}
{{- if and $v.nats.clientCertificate (not $v.nats.tlsSecret) -}}
{{- fail "imagegate: nats.clientCertificate: nats.tlsSecret has to name the Secret of the certificate" -}}
{{- end -}}
{{- if and (or $v.nats.tlsSecret $v.nats.credsSecret.name $v.nats.domain $v.nats.replicas) (not $v.nats.url) -}}
{{- fail "imagegate: nats.url must be set when nats.tlsSecret, nats.credsSecret, nats.domain or nats.replicas is set" -}}
{{- end -}}

{{- if and (eq (include "imagegate.scanner" .) "bundled") (eq $v.scanner.bundled.database "update") (lt (trimSuffix "Gi" $v.scanner.bundled.disk | int) 4) -}}
{{- fail (printf "imagegate: scanner.bundled.disk: %s is too little: the vulnerability database alone takes 3Gi; give at least 4Gi" $v.scanner.bundled.disk) -}}
{{- end -}}

{{- if and $v.scanner.bundled.databaseFile (or $v.scanner.bundled.databaseUrl (eq $v.scanner.bundled.database "sample")) -}}
{{- fail "imagegate: scanner.bundled.databaseFile: the database is this file's: neither database: sample nor databaseUrl goes with it" -}}
{{- end -}}

{{- if and (eq $v.certificates.mode "certManager") (not $v.certificates.certManager.issuerRef.name) -}}
{{- fail "imagegate: certificates.certManager.issuerRef.name: mode certManager needs an issuer" -}}
{{- end -}}
{{- if and (eq $v.certificates.mode "secret") (not $v.certificates.secretName) -}}
{{- fail "imagegate: certificates.secretName: mode secret needs the name of the Secret" -}}
{{- end -}}
{{- if and $v.trustedCA.configMap $v.trustedCA.secret -}}
{{- fail "imagegate: trustedCA.configMap and trustedCA.secret: give only one of them" -}}
{{- end -}}
{{- range $file, $_ := $v.vexDocuments -}}
{{- if eq $file "exceptions.yaml" }}{{ fail "imagegate: vexDocuments: the name exceptions.yaml is taken by the file of the exceptions: choose another" }}{{ end -}}
{{- end -}}

{{- include "imagegate.noTwice" (dict "mine" $v.config "own" (include "imagegate.providerOwn" (dict "root" . "role" "all") | fromYaml) "at" "config") -}}
{{- include "imagegate.noTwice" (dict "mine" $v.mutator.config "own" (include "imagegate.mutatorOwn" (dict "root" .) | fromYaml) "at" "mutator.config") -}}
{{- end -}}

{{/* Sysdig's own example misspells alwaysAccept in a comment, and Sysdig's chart ignored it. */}}
{{- define "imagegate.spelling" -}}
{{- range $key, $_ := .section -}}
{{- if eq $key "alwasyAccept" -}}
{{- fail (printf "imagegate: %s.alwasyAccept: there is no such value. Did you mean alwaysAccept?" $.at) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What an operator should know, as a list of sentences. */}}
{{- define "imagegate.warnings" -}}
{{- $v := .Values -}}
{{- $w := list -}}
{{- if not $v.mutator.enabled -}}
{{- $w = append $w "mutator.enabled is false: images are not pinned. A tag can move to another image between the scan and the start of the Pod." -}}
{{- else if eq $v.webhook.failurePolicy "Ignore" -}}
{{- $w = append $w "webhook.failurePolicy is Ignore: when the mutator does not answer, images stay unpinned, and are judged by the image that their tag names at that moment." -}}
{{- end -}}
{{- if eq $v.provider.clientAuth "off" -}}
{{- $w = append $w "provider.clientAuth is off: whoever reaches the provider may ask it about images, and have images scanned." -}}
{{- end -}}
{{- if ne $v.policies.enforcementAction "deny" -}}
{{- $w = append $w (printf "policies.enforcementAction is %s: nothing is denied." $v.policies.enforcementAction) -}}
{{- end -}}
{{- $rules := $v.scanRules | default $v.scanPolicies -}}
{{- if and (eq (toString (dig "autoGenerate" true $rules)) "false") (not (trim $v.customRules)) -}}
{{- $w = append $w "autoGenerate is false and customRules is empty: no rule judges a report." -}}
{{- end -}}
{{- if eq $v.policies.manage "none" -}}
{{- $w = append $w "policies.manage is none: nothing is denied before you apply ConstraintTemplates and Constraints." -}}
{{- else if and (eq $v.policies.manage "chart") (not $v.policies.constraints) -}}
{{- $w = append $w "policies.constraints is false: nothing is denied yet. Set it to true when Gatekeeper has taken the templates in." -}}
{{- end -}}
{{- if and (eq (include "imagegate.topology" .) "volume") -}}
{{- $w = append $w "One replica with a volume: while it is replaced, no Pod can be created outside of the exempt namespaces; this takes some seconds." -}}
{{- end -}}
{{- if and (eq (include "imagegate.topology" .) "single") -}}
{{- $w = append $w "One replica without a volume: after it is replaced, all reports are made anew. With persistence.enabled, replicaCount: 3 or nats.url they are kept." -}}
{{- end -}}
{{- if eq $v.scanner.bundled.database "sample" -}}
{{- $w = append $w "scanner.bundled.database is sample: the scanner knows almost no vulnerability." -}}
{{- end -}}
{{- if not $v.rbac.create -}}
{{- $w = append $w "rbac.create is false: helm uninstall does not remove what the provider puts into the cluster." -}}
{{- end -}}
{{- if and (eq (include "imagegate.scanner" .) "sysdig") (hasPrefix "http://" $v.sysdigSecureApiUrl) -}}
{{- $w = append $w "sysdigSecureApiUrl is plain HTTP: the token can be read on the way." -}}
{{- end -}}
{{- toYaml $w -}}
{{- end -}}
