{{- define "networking.webhookSecret" -}}
{{- .Values.webhook.tls.secretName | default (printf "%s-certs" (include "networking.name" (list . "webhook"))) -}}
{{- end -}}

{{/* Whether the webhook looks at the objects of all namespaces to warn by them. */}}
{{- define "networking.clusterWarnings" -}}
{{- and .Values.webhook.clusterWarnings (empty .Values.namespaces) -}}
{{- end -}}
