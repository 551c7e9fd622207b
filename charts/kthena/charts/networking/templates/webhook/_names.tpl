{{/* The Secret that is mounted: cert-manager's, or the user's own. */}}
{{- define "networking.webhookSecret" -}}
{{- .Values.webhook.tls.secretName | default (printf "%s-certs" (include "networking.name" (list . "webhook"))) -}}
{{- end -}}

{{/*
The Secret that the webhook fills with `auto`, under a name that none of somebody else's may have: what bears a name of an
earlier revision's manifest is Helm's own after a rollback, whoever made it, and goes with the next command
(test_no_change_of_mode_forth_or_back_takes_a_secret_that_the_release_did_not_make).
*/}}
{{- define "networking.webhookOwnSecret" -}}
{{- printf "%s-auto" (include "networking.webhookSecret" .) -}}
{{- end -}}

{{/* Whether the webhook looks at the objects of all namespaces to warn by them. */}}
{{- define "networking.clusterWarnings" -}}
{{- and .Values.webhook.clusterWarnings (empty .Values.namespaces) -}}
{{- end -}}
