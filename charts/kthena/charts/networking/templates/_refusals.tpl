{{/*
What the schema cannot say, or would say in words that help nobody: all at once, each with the key, the value and what is
allowed. refusals.yaml includes it, so that it is looked at whatever else is rendered.
*/}}
{{- define "networking.refusals" -}}
{{- $elsewhere := list
  (list "inferGateway" "resources" "it is networking.inferGateway.resource, as in Kthena's charts")
  (list "inferGateway" "drainTimeout" "it is networking.inferGateway.drain.timeout")
  (list "inferGateway" "terminationGracePeriodSeconds" "it follows from networking.inferGateway.drain")
  (list "inferGateway" "webhook" "it is networking.webhook")
  (list "inferGateway" "sessionBoost" "it is not built: leave it out")
  (list "inferGateway" "gatewayAPI" "it is not built: leave it out")
  (list "inferGateway" "kubeAPIQPS" "it is not needed: leave it out")
  (list "inferGateway" "kubeAPIBurst" "it is not needed: leave it out")
  (list "webhook" "resources" "it is networking.webhook.resource, as in Kthena's charts")
  (list "webhook" "servicePort" "it is 443: leave it out")
  (list "webhook.tls" "certFile" "it is the chart's own: leave it out")
  (list "webhook.tls" "keyFile" "it is the chart's own: leave it out")
  (list "webhook.tls" "serviceName" "it is the chart's own: leave it out")
-}}
{{- $said := list -}}
{{- $gateway := .Values.inferGateway -}}
{{- $webhook := .Values.webhook -}}
{{- $mode := .Values.global.certManagementMode -}}
{{- if hasKey .Values "kthenaRouter" -}}
{{- $said = append $said "networking.kthenaRouter is a key of Kthena's own chart: here it is networking.inferGateway, and its webhook is networking.webhook (README.md, \"Coming from Kthena's chart\")" -}}
{{- end -}}
{{- if hasKey .Values.global "certManager" -}}
{{- $said = append $said "global.certManager.enabled is a key of Kthena's first chart: here it is global.certManagementMode, which is one of auto, cert-manager and manual" -}}
{{- end -}}
{{- range $elsewhere -}}
{{- $section := $.Values -}}
{{- range splitList "." (index . 0) -}}
{{- $section = get $section . -}}
{{- end -}}
{{- if hasKey $section (index . 1) -}}
{{- $said = append $said (printf "networking.%s.%s is not a key here: %s" (index . 0) (index . 1) (index . 2)) -}}
{{- end -}}
{{- end -}}
{{- if and $webhook.enabled (eq $mode "manual") (not .Values.global.webhook.caBundle) -}}
{{- $said = append $said "global.webhook.caBundle is empty: with global.certManagementMode manual it must be the base64 of the PEM of the authority that signed the certificate in networking.webhook.tls.secretName" -}}
{{- end -}}
{{- range $webhook.image.args -}}
{{- if and (hasPrefix "--port" .) (ne . (printf "--port=%s" (include "networking.text" $webhook.port))) -}}
{{- $said = append $said (printf "networking.webhook.image.args has %q: the port is set by networking.webhook.port, for the probes and the Service to know it too" .) -}}
{{- end -}}
{{- end -}}
{{- range $list := list
  (list "webhook.image.args" $webhook.image.args "--metrics-port" "networking.webhook.metrics.port")
  (list "inferGateway.extraArgs" $gateway.extraArgs "--port" "networking.inferGateway.port")
  (list "inferGateway.extraArgs" $gateway.extraArgs "--metrics-port" "networking.inferGateway.metrics.port")
  (list "inferGateway.extraArgs" $gateway.extraArgs "--debug-port" "networking.inferGateway.debugPort")
  (list "inferGateway.extraArgs" $gateway.extraArgs "--namespace" "networking.namespaces")
-}}
{{- range index $list 1 -}}
{{- if eq (index $list 2) (splitList "=" . | first) -}}
{{- $said = append $said (printf "networking.%s has %q: it is set by %s, for the other objects to know it too" (index $list 0) . (index $list 3)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $gateway.fairness.shares $gateway.fairness.sharesConfigMap -}}
{{- $said = append $said "networking.inferGateway.fairness.shares and networking.inferGateway.fairness.sharesConfigMap are both set: it must be one of them" -}}
{{- end -}}
{{- if $gateway.autoscaling.enabled -}}
{{- if gt (int64 $gateway.autoscaling.minReplicas) (int64 $gateway.autoscaling.maxReplicas) -}}
{{- $said = append $said (printf "networking.inferGateway.autoscaling.minReplicas is %d: it must be at most maxReplicas, which is %d" (int64 $gateway.autoscaling.minReplicas) (int64 $gateway.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- range $key, $port := dict "port" $gateway.port "metrics.port" $gateway.metrics.port "debugPort" $gateway.debugPort -}}
{{- if has (int64 $port) $ports -}}
{{- $said = append $said (printf "networking.inferGateway.%s is %d, which is another port's too: port, metrics.port and debugPort must differ" $key (int64 $port)) -}}
{{- end -}}
{{- $ports = append $ports (int64 $port) -}}
{{- end -}}
{{- if eq (int64 $webhook.port) (int64 $webhook.metrics.port) -}}
{{- $said = append $said (printf "networking.webhook.metrics.port is %d, which is networking.webhook.port too: they must differ" (int64 $webhook.port)) -}}
{{- end -}}
{{- range $component, $values := dict "inferGateway" $gateway "webhook" $webhook -}}
{{- $budget := $values.podDisruptionBudget -}}
{{- if and $budget.enabled (eq (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable)) -}}
{{- $said = append $said (printf "networking.%s.podDisruptionBudget has both or neither of minAvailable and maxUnavailable: it must be one of them, the other null" $component) -}}
{{- end -}}
{{- end -}}
{{- if $said -}}
{{- fail (printf "\n\n  %s\n" (join "\n  " $said)) -}}
{{- end -}}
{{- end -}}
