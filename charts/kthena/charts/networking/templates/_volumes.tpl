{{/*
The chart's own volumes of a component, each with where it is mounted. Folders, not single files: those would never change.
refusals looks at them too, for what would stand beside them.
*/}}
{{- define "networking.ownVolumes" -}}
{{- include (printf "networking.volumesOf.%s" (index . 1)) (index . 0) -}}
{{- end -}}

{{- define "networking.volumesOf.infer-gateway" -}}
{{- $values := .Values.inferGateway -}}
{{- $name := include "networking.name" (list . "infer-gateway") -}}
{{- if $values.tls.enabled }}
- name: tls
  mountPath: /etc/kthena/tls
  secret:
    secretName: {{ $values.tls.secretName | quote }}
{{- end }}
{{- if $values.routerConfiguration }}
- name: config
  mountPath: /etc/kthena/config
  configMap:
    name: {{ $name }}-config
{{- end }}
{{- if and $values.fairness.enabled (or $values.fairness.sharesConfigMap $values.fairness.shares) }}
- name: shares
  mountPath: /etc/kthena/shares
  configMap:
    name: {{ $values.fairness.sharesConfigMap | default (printf "%s-shares" $name) | quote }}
{{- end }}
{{- if $values.engines.caConfigMap }}
- name: engines
  mountPath: /etc/kthena/engines
  configMap:
    name: {{ $values.engines.caConfigMap | quote }}
{{- end }}
{{- end -}}

{{- define "networking.volumesOf.webhook" -}}
{{- if ne .Values.global.certManagementMode "auto" }}
- name: certs
  mountPath: /etc/webhook/certs
  secret:
    secretName: {{ include "networking.webhookSecret" . | quote }}
{{- end }}
{{- end -}}

{{/* A container's volumeMounts, where it has any. */}}
{{- define "networking.volumeMounts" -}}
{{- $mounts := list -}}
{{- range include "networking.ownVolumes" . | fromYamlArray -}}
{{- $mounts = append $mounts (dict "name" .name "mountPath" .mountPath "readOnly" true) -}}
{{- end -}}
{{- with concat $mounts ((index . 2).extraVolumeMounts | default list) }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* And its pod's volumes. */}}
{{- define "networking.volumes" -}}
{{- $volumes := list -}}
{{- range include "networking.ownVolumes" . | fromYamlArray -}}
{{- $volumes = append $volumes (omit . "mountPath") -}}
{{- end -}}
{{- with concat $volumes ((index . 2).extraVolumes | default list) }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
What the API server, or the kubelet, would refuse of a component's extra volumes: a list of sentences. Root, component,
its values, the section of these.
*/}}
{{- define "networking.refusedVolumes" -}}
{{- $section := printf "networking.%s" (index . 3) -}}
{{- $said := list -}}
{{- $names := list -}}
{{- $paths := list -}}
{{- range include "networking.ownVolumes" . | fromYamlArray -}}
{{- $names = append $names .name -}}
{{- $paths = append $paths .mountPath -}}
{{- end -}}
{{- range (index . 2).extraVolumes -}}
{{- if has .name $names -}}
{{- $said = append $said (printf "%s.extraVolumes has %q, and another volume of the pod is called so, of this list or of the chart: choose another name" $section .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- range (index . 2).extraVolumeMounts -}}
{{- if not (has .name $names) -}}
{{- $said = append $said (printf "%s.extraVolumeMounts mounts %q, which is no volume of the pod: it must be one of extraVolumes" $section .name) -}}
{{- end -}}
{{- $path := trimSuffix "/" .mountPath -}}
{{- if has $path $paths -}}
{{- $said = append $said (printf "%s.extraVolumeMounts mounts %q at %s, where another volume is mounted, of this list or of the chart: choose another mountPath" $section .name .mountPath) -}}
{{- end -}}
{{- $paths = append $paths $path -}}
{{- end -}}
{{- toJson $said -}}
{{- end -}}
