{{/*
How many replicas the gateway's Deployment asks for; nothing where that is left to others.

With an autoscaler: as many as it has just now, and minReplicas at least. Left out, Helm takes away the number of the
release before, which to the API server is 1, and there is one pod until the autoscaler looks
(test_turning_the_autoscaler_on_takes_no_pods_away). What is rendered without a cluster, for a pipeline that applies it
again and again, has no number: any would undo, each time, what the autoscaler did.
*/}}
{{- define "networking.gatewayReplicas" -}}
{{- $values := .Values.inferGateway -}}
{{- if not $values.autoscaling.enabled -}}
{{- include "networking.text" $values.replicas -}}
{{- else if include "networking.hasCluster" . -}}
{{- $name := include "networking.name" (list . "infer-gateway") -}}
{{- $there := lookup "apps/v1" "Deployment" .Release.Namespace $name | default dict -}}
{{- max (dig "spec" "replicas" 0 $there | int64) (int64 $values.autoscaling.minReplicas) -}}
{{- end -}}
{{- end -}}
